"""Shared storage in memory: one true tree, and for each client what its caches make of it.

What a server promises holds here, too: an exclusive create has one winner, a rename is atomic and replaces nothing that
has content. What it does not promise is taken away: for up to `stale_s` a client's listing lacks what others have made
and has what others have removed, name by name; a name that it looked up in vain stays missing to it, a stamp stays old.
An operation may fail before it has an effect, or after.
"""

from __future__ import annotations

import errno
import functools
import io
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from hpcurate.store.filesystem import Content
from tests.simulation.kernel import Host, Kernel, Violation

HANG_S = 600.0
Hook = Callable[[str, list[str], "Node | None"], None]
"""(operation, path as a list of names, node): hears of each change after it."""


@attrs.define(eq=False)
class Node:
    """A file or a folder."""

    names: dict[str, Entry] | None = None
    """Of a folder."""
    data: bytes = b""
    frozen: bool = False
    stamp: int = 0
    made: float = 0.0
    """True time at which it was made; without hard links its content may come much later."""
    written: float = 0.0
    """True time of its latest content."""
    writer: object = None
    stamps: dict[str, tuple[int, float]] = attrs.field(factory=dict)
    """Client → the stamp that its cache has, and until when."""


@attrs.define(eq=False)
class Entry:
    """A name in a folder; one that was removed stays for those who do not see that yet."""

    node: Node
    changed: float
    by: str
    gone: bool = False
    seen: dict[str, float] = attrs.field(factory=dict)
    """Client → when its listings show the change."""


@attrs.define(kw_only=True)
class Faults:
    """What the storage does to its clients."""

    stale_s: float = 0.0
    errors: float = 0.0
    """Share of operations that fail."""
    hangs: float = 0.0
    """Share of reads whose answer is on its way for up to `HANG_S`."""
    links: bool = True
    """Without hard links the content of a new file comes a moment after its name; that of a claim on most others, too."""
    lost_rows: float = 0.0
    """Share of files written row by row of which the end is lost, and nobody told."""
    cuts: tuple[tuple[str, float, float], ...] = ()
    """(client, from, to): it does not reach the server, and has what it read before."""
    full: tuple[tuple[float, float], ...] = ()
    """From when to when nothing can be written."""


def fail(number: int, path: str) -> OSError:
    """The error that the system would raise."""
    return OSError(number, os.strerror(number), path)


class Disk:
    """The true tree."""

    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        self.kernel, self.faults = kernel, faults
        self.root = Node(names={})
        self.hooks: list[Hook] = []
        self._found: dict[str, Node] = {}
        """Path → what was found there, until a name goes or is given to another node."""
        self._stamps = itertools.count(1)

    # -- the truth ----------------------------------------------------------------------------------

    def find(self, path: str) -> Node | None:
        """What is there."""
        if path in self._found:
            return self._found[path]
        node = self.root
        for name in _parts(path):
            entry = node.names.get(name) if node.names is not None else None
            if entry is None or entry.gone:
                return None
            node = entry.node
        self._found[path] = node
        return node

    def folder(self, path: str) -> Node:
        """The folder there. Raises FileNotFoundError."""
        found = self.find(path)
        if found is None or found.names is None:
            raise fail(errno.ENOENT, path)
        return found

    def listed(self, path: str) -> list[str]:
        """Names in a folder, as they are."""
        found = self.find(path)
        return [n for n, entry in found.names.items() if not entry.gone] if found and found.names is not None else []

    def below(self, path: str) -> Iterator[tuple[str, Node]]:
        """Each file below, by relative path."""
        for name in self.listed(path):
            node = self.find(f"{path}/{name}")
            assert node is not None
            if node.names is None:
                yield name, node
            else:
                yield from ((f"{name}/{inner}", found) for inner, found in self.below(f"{path}/{name}"))

    def put(self, path: str, node: Node, by: str) -> None:
        """Give a node a name."""
        parent, _, name = path.rpartition("/")
        folder = self.folder(parent)
        assert folder.names is not None
        before = folder.names.get(name)
        if before is not None and not before.gone:  # the name stays, with another content
            before.node, before.seen[by] = node, self.kernel.now
            self._found.clear()
            self.tell("over", path, node)
            return
        folder.names[name] = Entry(node, self.kernel.now, by)
        folder.stamp = next(self._stamps)
        self.tell("put", path, node)

    def take(self, path: str, by: str) -> Node:
        """Take a name away."""
        parent, _, name = path.rpartition("/")
        folder, node = self.folder(parent), self.find(path)
        if node is None or folder.names is None:
            raise fail(errno.ENOENT, path)
        folder.names[name] = Entry(node, self.kernel.now, by, gone=True)
        self._found.clear()
        folder.stamp = next(self._stamps)
        self.tell("take", path, node)
        return node

    def make_folders(self, path: str, by: str) -> None:
        """All that are missing."""
        for depth in range(2, path.count("/") + 2):
            above = "/".join(path.split("/")[:depth])
            if self.find(above) is None:
                self.put(above, Node(names={}), by)

    def write(self, node: Node, path: str, data: bytes, by: object) -> None:
        """Give a file its content."""
        if node.frozen:
            raise Violation(f"I11: {path} is written after it was frozen")
        node.data, node.written, node.writer = data, self.kernel.now, by
        self.tell("write", path, node)

    def purge(self, path: str) -> None:
        """Somebody outside removes a file or a folder."""
        if self.find(path) is not None:
            self.kernel.note(f"! purge of {path}")
            self.take(path, "purge")

    def tell(self, what: str, path: str, node: Node | None) -> None:
        """Have everybody hear of it who watches."""
        names = path.split("/")
        for hook in self.hooks:
            hook(what, names, node)


class Client:
    """The storage as the processes of one host have it: a `Filesystem`."""

    def __init__(self, disk: Disk, host: Host) -> None:
        self.disk, self.host, self._kernel = disk, host, disk.kernel
        self.unreadable: dict[str, float] = {}
        """Path → until when this client cannot read it."""
        self._cache: dict[str, Any] = {}
        """What was read, for a time in which this client does not reach the server."""
        self._missing: dict[str, float] = {}
        """Path that was looked up in vain → until when it stays missing."""

    # -- reading ------------------------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        self._step("names", folder, reads=True)
        node = None if self._is_missing(folder) else self.disk.find(folder)
        if node is None or node.names is None:
            self._looked_up_in_vain(folder)
            return []
        found = [name for name, entry in node.names.items() if self._sees(entry) is not entry.gone]
        found = self._as_cached(folder, found)
        self._kernel.note(f"names {folder}", found)
        self._answer()
        return found

    def _sees(self, entry: Entry) -> bool:
        """Whether this client's listings show how the name was changed last."""
        if entry.by == self.host.name or not self.disk.faults.stale_s:
            return True
        if self.host.name not in entry.seen:
            chance = self._kernel.random.random()
            late = 0.0 if chance < 0.4 else self._kernel.random.uniform(0, self.disk.faults.stale_s)
            entry.seen[self.host.name] = entry.changed + late
        return entry.seen[self.host.name] <= self._kernel.now

    def stamp(self, folder: str) -> int:
        """See `Filesystem`."""
        self._step("stamp", folder, reads=True)
        node = self.disk.find(folder)
        if node is None:
            return 0
        kept, until = node.stamps.get(self.host.name, (0, 0.0))
        if until <= self._kernel.now:
            kept = node.stamp
            node.stamps[self.host.name] = (kept, self._kernel.now + self._late())
        return kept

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        self._step("read", path, reads=True)
        node = None if self._is_missing(path) else self.disk.find(path)
        if node is None or node.names is not None:
            self._looked_up_in_vain(path)
            self._kernel.note(f"read {path}", "not there")
            raise fail(errno.ENOENT, path)
        data = self._as_cached(path, node.data)
        self._kernel.note(f"read {path}", data[:150])
        self._answer()
        return data

    def read_all(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """See `Filesystem`. One after the other: each may fail, and others move meanwhile."""
        return [self._tried(path) for path in paths]

    def _tried(self, path: str) -> bytes | OSError:
        try:
            return self.read(path)
        except OSError as error:
            return error

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Filesystem`."""
        self._step("sizes", folder, reads=True)
        self.disk.folder(folder)
        return {name: len(node.data) for name, node in sorted(self.disk.below(folder))}

    # -- writing ------------------------------------------------------------------------------------

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        after = self._step("create", path)
        if self._is_missing(os.path.dirname(path)):
            raise fail(errno.ENOENT, path)
        self.disk.folder(os.path.dirname(path))
        if self.disk.find(path) is not None:
            self._missing.pop(path, None)
            self._kernel.note(f"create {path}", "there is one")
            self.disk.tell("in vain", path, None)
            return False
        node = Node(made=self._kernel.now, written=self._kernel.now, writer=self._me)
        if self.disk.faults.links:
            node.data = data
        self._missing.pop(path, None)
        self.disk.put(path, node, self.host.name)
        self._kernel.note(f"create {path}", data[:150])
        if not self.disk.faults.links:
            self._fill(path, node, data)
        if after is not None:
            raise fail(after, path)
        return True

    def _fill(self, path: str, node: Node, data: bytes) -> None:
        """Without hard links: the content of a file that has its name already."""
        try:
            self._step("fill", path)
        except OSError:
            if self.disk.find(path) is node:
                self.disk.take(path, self.host.name)
            raise
        self.disk.write(node, path, data, self._me)

    def claim(self, path: str, data: bytes) -> bool:
        """See `Filesystem`. As `create`: whole on some filesystems, and on others after its name."""
        return self.create(path, data)

    def write_new(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        after = self._step("write", path)
        self._missing.pop(path, None)
        node = Node(data=data, frozen=True, written=self._kernel.now, writer=self._me)
        self.disk.put(path, node, self.host.name)
        self._kernel.note(f"write {path}", data[:150])
        if after is not None:
            raise fail(after, path)

    def replace(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        after = self._step("replace", path)
        self._missing.pop(path, None)
        self.disk.put(path, Node(data=data, written=self._kernel.now, writer=self._me), self.host.name)
        self._kernel.note(f"replace {path}", data[:150])
        if after is not None:
            raise fail(after, path)

    def beat(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        after = self._step("beat", path)
        node = self.disk.find(path)
        if node is None:
            node = Node()
            self.disk.put(path, node, self.host.name)
        self.disk.write(node, path, data + node.data[len(data) :], self._me)
        if after is not None:
            raise fail(after, path)

    def make_folder(self, path: str) -> bool:
        """See `Filesystem`."""
        self._step("mkdir", path)
        self._missing.pop(path, None)
        if self.disk.find(path) is not None:
            return False
        self.disk.put(path, Node(names={}), self.host.name)
        return True

    def make_folders(self, path: str, mode: int | None = None) -> None:
        """See `Filesystem`."""
        self._step("mkdirs", path)
        for cached in [one for one in self._missing if path.startswith(one)]:
            del self._missing[cached]
        self.disk.make_folders(path, self.host.name)

    def seal(self, folders: Mapping[str, Content], name: str) -> None:
        """See `Filesystem`."""
        for folder, content in folders.items():
            self._step("freeze", folder)
            self.disk.folder(folder)
            found = sorted(self.disk.below(folder))
            for _, node in found:
                node.frozen = True
            self.write_new(f"{folder}/{name}", content({name: len(node.data) for name, node in found}))

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """See `Filesystem`."""
        after = self._step("rename", f"{source} → {target}")
        there = self.disk.find(target)
        if there is not None and (there.names is None or self.disk.listed(target)):
            self._kernel.note(f"rename {source} → {target}", "there is one")
            raise fail(errno.EEXIST, target)
        if self.disk.find(source) is None:
            raise fail(errno.ENOENT, source)
        self.disk.put(target, self.disk.take(source, self.host.name), self.host.name)
        self._missing.pop(target, None)
        self._kernel.note(f"rename {source} → {target}", "done")
        if after is not None:
            raise fail(after, target)

    def discard(self, path: str, trash: str) -> None:
        """See `Filesystem`."""
        after = self._step("discard", path)
        if self._is_missing(path) or self.disk.find(path) is None:
            self._looked_up_in_vain(path)
        else:
            self.disk.take(path, self.host.name)
        if after is not None:
            raise fail(after, path)

    # -- row by row: see `hpcurate.store.files.Files` -----------------------------------------------

    def open(self, path: str, mode: str) -> Any:
        """To read or to write anew. What is written gets there when it is closed, and so do errors."""
        if mode == "rb":
            return io.BytesIO(self.read(path))
        node = Node(writer=self._me)
        self.disk.put(path, node, self.host.name)
        return Written(self, path, node)

    def size(self, path: str) -> int:
        """Of a file that is closed."""
        return len(self.read(path))

    def written(self, path: str, node: Node, data: bytes) -> None:
        """A file is closed."""
        after = self._step("close", path)
        if self.disk.faults.lost_rows and self._kernel.random.random() < self.disk.faults.lost_rows:
            data = data[: self._kernel.random.randint(0, len(data))]
            self._kernel.note("! the end is lost", path)
        self.disk.write(node, path, data, self._me)
        self._kernel.note(f"close {path}", data[:150])
        if after is not None:
            raise fail(after, path)

    def append(self, path: str, data: bytes) -> None:
        """Add to the end."""
        after, node = self._step("append", path), self.disk.find(path)
        if node is None:
            node = Node()
            self.disk.put(path, node, self.host.name)
        self.disk.write(node, path, node.data + data, self._me)
        self._kernel.note(f"append {path}", data)
        if after is not None:
            raise fail(after, path)

    # -- what goes wrong ----------------------------------------------------------------------------

    @property
    def _me(self) -> object:
        return self._kernel.running.process if self._kernel.running else None

    def _step(self, what: str, path: str, reads: bool = False) -> int | None:
        """A step; the error that is to be raised after the effect, if any. Raises the one that comes before it."""
        kernel, faults = self._kernel, self.disk.faults
        kernel.step(what, path)
        if not reads and any(since <= kernel.now < until for since, until in faults.full):
            kernel.note(f"{what} {path}", "no space left")
            raise fail(errno.ENOSPC, path)
        if faults.cuts and self._is_cut_off() and not (reads and path in self._cache):
            kernel.note(f"{what} {path}", "! the server is not reached")
            raise fail(errno.EIO, path)
        if self.unreadable and reads and self.unreadable.get(path, 0.0) > kernel.now:
            kernel.note(f"{what} {path}", "! EIO")
            raise fail(errno.EIO, path)
        if faults.errors and kernel.random.random() < faults.errors:
            number = kernel.random.choice((errno.EIO, errno.ESTALE))
            kernel.note(f"{what} {path}", f"! {errno.errorcode[number]}")
            if reads or kernel.random.random() < 0.5:
                raise fail(number, path)
            return number
        return None

    def _is_cut_off(self) -> bool:
        now = self._kernel.now
        return any(name == self.host.name and since <= now < until for name, since, until in self.disk.faults.cuts)

    def _as_cached(self, path: str, found: Any) -> Any:
        """What this client has of a file or a folder that it has read: where it is cut off, what it had then."""
        if self.disk.faults.cuts:
            self._cache[path] = self._cache[path] if self._is_cut_off() else found
            return self._cache[path]
        return found

    def _answer(self) -> None:
        """On the way back: what was read may be old by then."""
        if self.disk.faults.hangs and self._kernel.running and self._kernel.random.random() < self.disk.faults.hangs:
            self._kernel.note("! the answer takes long")
            running = self._kernel.running
            self._kernel.suspend(self._kernel.now + self._kernel.random.uniform(1, HANG_S))
            running.process.answered_late = self._kernel.now

    def _late(self) -> float:
        """How long a cache keeps what it has."""
        chance = self._kernel.random.random() if self.disk.faults.stale_s else 0.0
        return 0.0 if chance < 0.4 else self._kernel.random.uniform(0, self.disk.faults.stale_s)

    def _is_missing(self, path: str) -> bool:
        until = self._missing.get(path)
        return until is not None and self._kernel.now < until

    def believed_missing(self, path: str) -> float:
        """Until when this client took a name for missing."""
        return self._missing.get(path, float("-inf"))

    def _looked_up_in_vain(self, path: str) -> None:
        if self.disk.faults.stale_s and not self._is_missing(path):
            self._missing[path] = self._kernel.now + self._late()


def old_paths(disk: Disk, stage: str) -> Iterator[str]:
    """What a purge of a stage's folder takes: committed shards, claims beside them, lists, indexes."""
    for fan in disk.listed(f"{stage}/shards"):
        committed = [shard for shard in disk.listed(f"{stage}/shards/{fan}") if not shard.startswith(".")]
        yield from (f"{stage}/shards/{fan}/{shard}" for shard in committed)
        yield from (f"{stage}/claims/{fan}" for _ in committed[:1])
    yield from (f"{stage}/lists/{name}" for name in disk.listed(f"{stage}/lists"))
    yield from (f"{stage}/done" for _ in disk.listed(f"{stage}/done")[:1])


@functools.lru_cache(maxsize=4096)
def _parts(path: str) -> list[str]:
    return path.split("/")[1:]


@attrs.define(eq=False)
class Written:
    """A file that is open for writing."""

    client: Client
    path: str
    node: Node
    lines: list[bytes] = attrs.field(factory=list)

    def __enter__(self) -> Written:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Into a buffer."""
        self.lines.append(data)

    def close(self) -> None:
        """All of it."""
        self.client.written(self.path, self.node, b"".join(self.lines))
