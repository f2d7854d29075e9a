"""Shared storage with a price for each call, in memory and in virtual time, for `benchmarks/scale.py`.

Not `tests/simulation/`: that checks the protocol's invariants at each step of a few shards, with faults. Here nothing
fails and nothing is checked, so that a hundred thousand shards take a minute.
"""

from __future__ import annotations

import datetime
import errno
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

from hpcurate.store.filesystem import Content
from hpcurate.system.processes import ProcessIdentity


@attrs.define(frozen=True)
class Price:
    """What one call costs."""

    client_s: float
    """Until its client has the answer, where the server has nothing else to do."""
    server_s: float
    """Of the server's time: so many seconds later it can do the next one."""


CREATE = Price(1 / 500, 1 / 15_000)
"""About 500 creates a second from one client, 15 000 from all together. Folders and renames likewise."""
LOOK = Price(1 / 2_000, 1 / 60_000)
"""Assumed: opening to read, stat, overwriting in place cost a quarter of a create."""
LISTED = Price(1e-6, 2e-7)
"""Assumed: of each name of a listing, which itself costs as much as a look."""

PRICES = {"create": CREATE, "mkdir": CREATE, "rename": CREATE, "read": LOOK, "stat": LOOK, "beat": LOOK, "list": LOOK}


@attrs.define
class Disk:
    """The one server: files by folder, each with the time at which it was made and who made it."""

    folders: dict[str, dict[str, tuple[float, int, bytes]]] = attrs.field(factory=dict)
    calls: Counter[str] = attrs.field(factory=Counter)
    busy_s: float = 0.0
    """How long it was at work, all together."""
    late_s: float = 0.0
    """So long after it was made a listing of another client lacks a name."""

    @property
    def inodes(self) -> int:
        """Files and folders that there are."""
        return sum(1 + sum(1 for name in names if f"{path}/{name}" not in self.folders) for path, names in self._all())

    def _all(self) -> Any:
        return self.folders.items()


class Client:
    """The storage as one worker has it: a `Filesystem`, whose calls move the worker's clock."""

    def __init__(self, disk: Disk, clock: VirtualClock, number: int) -> None:
        self.disk, self.clock, self.number = disk, clock, number

    def _pay(self, kind: str, names: int = 0) -> None:
        price = PRICES[kind]
        self.disk.calls[kind] += 1
        self.disk.calls["names listed"] += names
        self.disk.busy_s += price.server_s + names * LISTED.server_s
        self.clock.at += price.client_s + names * LISTED.client_s

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`. Without what others have made in the last moments."""
        entries = self.disk.folders.get(folder, {})
        until = self.clock.at - self.disk.late_s
        late = [name for name, (made, by, _) in _newest(entries, until) if made > until and by != self.number]
        found = list(entries) if not late else [n for n in entries if n not in {*late}]
        self._pay("list", len(found))
        return found

    def stamp(self, folder: str) -> int:
        """See `Filesystem`."""
        self._pay("stat")
        return len(self.disk.folders.get(folder, ()))

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        self._pay("read")
        folder, name = os.path.split(path)
        try:
            return self.disk.folders[folder][name][2]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        self._pay("create")
        folder, name = os.path.split(path)
        entries = self.disk.folders[folder]
        if name in entries:
            self.disk.calls["create in vain"] += 1
            return False
        entries[name] = (self.clock.at, self.number, data)
        return True

    def claim(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        return self.create(path, data)

    def write_new(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        self.create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        self._pay("create")
        self._pay("rename")
        folder, name = os.path.split(path)
        self.disk.folders[folder][name] = (self.clock.at, self.number, data)

    def beat(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        self._pay("beat")
        folder, name = os.path.split(path)
        self.disk.folders[folder][name] = (self.clock.at, self.number, data)

    def make_folder(self, path: str) -> bool:
        """See `Filesystem`."""
        self._pay("mkdir")
        if path in self.disk.folders:
            return False
        self._made(path)
        return True

    def make_folders(self, path: str, mode: int | None = None) -> None:
        """See `Filesystem`."""
        self._pay("stat")
        missing = path
        while missing not in self.disk.folders and len(missing) > 1:
            self._pay("mkdir")
            self._made(missing)
            missing = os.path.dirname(missing)

    def _made(self, path: str) -> None:
        self.disk.folders[path] = {}
        parent, name = os.path.split(path)
        self.disk.folders.setdefault(parent, {})[name] = (self.clock.at, self.number, b"")

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Filesystem`."""
        self._pay("list", len(self.disk.folders[folder]))
        return {name: len(data) for name, (_, _, data) in self.disk.folders[folder].items()}

    def seal(self, folders: Mapping[str, Content], name: str) -> None:
        """See `Filesystem`. A listing, and a look at each file; what we wrote has its mode already."""
        for folder, content in folders.items():
            found = self.sizes(folder)
            for _ in found:
                self._pay("stat")
            self.write_new(f"{folder}/{name}", content(found))

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """See `Filesystem`. Of a folder without folders in it."""
        self._pay("rename")
        if target in self.disk.folders:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self.disk.folders[target] = self.disk.folders.pop(source)
        (before, name), (after, new) = os.path.split(source), os.path.split(target)
        del self.disk.folders[before][name]
        self.disk.folders[after][new] = (self.clock.at, self.number, b"")

    def discard(self, path: str, trash: str) -> None:
        """See `Filesystem`."""
        self._pay("rename")
        self.disk.folders.pop(path, None)
        folder, name = os.path.split(path)
        self.disk.folders[folder].pop(name, None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the model of the storage has no {name}: add it, with its price")


def _newest(entries: dict[str, tuple[float, int, bytes]], until: float) -> Any:
    """From the newest on, as long as they are newer than that; a name that was made again may be anywhere."""
    return itertools.takewhile(lambda item: item[1][0] > until, reversed(entries.items()))


class VirtualClock:
    """The time of one worker."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.at

    def now(self) -> datetime.datetime:
        """See `Clock`."""
        return datetime.datetime.fromtimestamp(1.8e9 + self.at, datetime.UTC)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self.at += seconds

    def lock(self) -> AbstractContextManager[Any]:
        """See `Clock`."""
        return nullcontext()

    def event(self) -> Any:
        """See `Clock`. Nobody waits for it here."""
        return threading.Event()

    def start(self, action: Callable[[], None], name: str) -> Any:
        """See `Clock`. There are no threads here."""
        raise NotImplementedError


@attrs.define(frozen=True)
class Everyone:
    """Processes of many nodes: nobody sees those of others, and all live."""

    number: int

    def mine(self) -> ProcessIdentity:
        """See `Processes`."""
        return ProcessIdentity(f"node{self.number}", self.number, 1)

    def alive(self, process: ProcessIdentity) -> bool | None:
        """See `Processes`."""
        return None
