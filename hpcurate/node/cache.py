"""A node's cache: each item is made once, whoever asks, and stays while somebody reads it.

Everything lies in one folder of the node's own disk, where `flock` is reliable:

    <name>/          an item                        .<name>.part/   a copy in the making
    .<name>.json     what it takes, whether it is done
    .<name>.lock     held while it is made          .<name>.use     held (shared) by each reader; its time: last use
    .room            held while room is made

Copies are made beside and renamed. What must know its own path (an unpacked environment, what a stage's `setup_on_node`
makes) is made where it will stand, and counts only once its `.json` says that it is done. A process that dies lets go
of its locks; what it left is gone on with or made anew, and never taken for finished.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Optional

import attrs

from hpcurate.node.copying import JOURNAL, Stopped, copy_files
from hpcurate.node.unpacking import unpack
from hpcurate.store.manifest import MANIFEST, FileEntry, read_manifest
from hpcurate.system.processes import nonce

WAIT_S = 3600.0
"""How long to wait for another process's copy."""
LOOK_S = 0.2


@attrs.define(frozen=True, kw_only=True)
class Brought:
    """Where an item is to be read."""

    path: str
    reason: str = ""
    """Why it is on shared storage; empty where it is on the node."""
    copied_files: int = 0
    """By this process; 0 where another had done it."""
    copied_bytes: int = 0
    seconds: float = 0.0

    @property
    def local(self) -> bool:
        """Whether it lies on the node's own disk."""
        return not self.reason


class NoRoom(Exception):
    """The item does not fit."""


@attrs.define(frozen=True)
class _State:
    """What `.<name>.json` says."""

    bytes: int
    done: bool = False
    boot: str = ""
    """Of the machine, where the item must not outlive it."""


class NodeCache:
    """The cache in one folder of this node."""

    def __init__(
        self,
        folder: str,
        *,
        quota: Optional[int] = None,
        stop: Callable[[], bool] = lambda: False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder
        self._quota, self._stop, self._log = quota, stop, log
        self._held: list[int] = []

    def bring(self, name: str, source: str) -> Brought:
        """Have a copy of the folder `source` on the node, as `name`, made if nobody has; held until `close`.

        On shared storage instead, with the reason, where it does not fit. Raises Stopped, CopyFault, OSError.
        """
        files = read_manifest(source)
        needed = sum(f.size for f in files)
        return self._have(
            name, source, needed, lambda: self._copied(name, files), lambda: self._copy(name, source, files)
        )

    def unpack(self, name: str, source: str) -> Brought:
        """Have the packed environment in the folder `source` unpacked on the node. As `bring`."""
        files = read_manifest(source)
        needed = sum(f.size for f in files)

        def make() -> tuple[int, int]:
            unpack(source, self._fresh(name), files[0], self._stop)
            return 1, needed

        return self._have(name, source, needed, lambda: self._made(name) is not None, make)

    def once(self, name: str, action: Callable[[str], None]) -> Brought:
        """Have `action(folder)` done on this node since it booted, by whoever is first; its folder, held until `close`.

        Raises what `action` raises; nobody takes it for done then.
        """
        boot, started, made = boot_id(), time.monotonic(), (0, 0)
        with self._locked(f".{name}.lock"):
            state = self._made(name)
            if state is None or state.boot != boot:
                folder = self._fresh(name)
                self._write(name, _State(0))
                action(folder)
                made = _below(folder)
                self._write(name, _State(made[1], done=True, boot=boot))
            self._hold(name)
        return self._brought(name, made, started)

    def close(self) -> None:
        """Let go of everything that was brought."""
        while self._held:
            os.close(self._held.pop())

    # -- making -------------------------------------------------------------------------------------

    def _have(
        self, name: str, source: str, needed: int, there: Callable[[], bool], make: Callable[[], tuple[int, int]]
    ) -> Brought:
        started = time.monotonic()
        copied = (0, 0)
        with self._locked(f".{name}.lock"):
            if not there():
                try:
                    with self._locked(".room"):
                        self._make_room(name, needed)
                        self._write(name, _State(needed))
                    copied = make()
                except NoRoom as error:
                    return Brought(path=source, reason=str(error))
                except OSError as error:
                    if error.errno == errno.ENOSPC:  # others fill the disk, too: what is half there only takes room
                        self._remove(name)
                    raise
                self._write(name, _State(needed, done=True))
            self._hold(name)
        return self._brought(name, copied, started)

    def _brought(self, name: str, copied: tuple[int, int], started: float) -> Brought:
        path, seconds = os.path.join(self.folder, name), round(time.monotonic() - started, 3)
        return Brought(path=path, copied_files=copied[0], copied_bytes=copied[1], seconds=seconds)

    def _copied(self, name: str, files: Sequence[FileEntry]) -> bool:
        """Whether the copy is there, and every file has its size; a damaged one is set aside."""
        path = os.path.join(self.folder, name)
        if not os.path.isdir(path):
            return False
        if all(_size(os.path.join(path, f.path)) == f.size for f in files):
            return True
        self._log(f"{path}: files are missing or cut short; it is copied again")
        self._discard(path)
        return False

    def _copy(self, name: str, source: str, files: Sequence[FileEntry]) -> tuple[int, int]:
        part = os.path.join(self.folder, f".{name}.part")
        copied = copy_files(source, part, files, self._stop)
        shutil.copyfile(os.path.join(source, MANIFEST), os.path.join(part, MANIFEST))
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(part, JOURNAL))
        os.rename(part, os.path.join(self.folder, name))
        return copied

    def _fresh(self, name: str) -> str:
        """An empty folder where the item will stand; what a killed process left there is gone."""
        path = os.path.join(self.folder, name)
        self._discard(path)
        os.mkdir(path, mode=0o700)
        return path

    # -- what is known of an item -------------------------------------------------------------------

    def _state(self, name: str) -> _State:
        with suppress(OSError, ValueError, TypeError):
            return _State(**json.loads(Path(self.folder, f".{name}.json").read_text()))
        return _State(0)

    def _made(self, name: str) -> Optional[_State]:
        """What is known of an item that was made where it stands, if it is done, and nobody cleaned it away."""
        state = self._state(name)
        return state if state.done and os.path.isdir(os.path.join(self.folder, name)) else None

    def _write(self, name: str, state: _State) -> None:
        path = os.path.join(self.folder, f".{name}.json")
        Path(f"{path}.new").write_text(json.dumps(attrs.asdict(state)))
        os.replace(f"{path}.new", path)

    def _items(self) -> list[str]:
        """Finished items, and those in the making."""
        return sorted(n[1:-5] for n in os.listdir(self.folder) if n.startswith(".") and n.endswith(".json"))

    # -- room ---------------------------------------------------------------------------------------

    def _make_room(self, name: str, needed: int) -> None:
        """Evict until the item fits under quota and into free space. Raises NoRoom."""
        for entry in os.listdir(self.folder):
            if entry.startswith(".trash-"):  # of a process that was killed while it removed something
                shutil.rmtree(os.path.join(self.folder, entry), ignore_errors=True)
        if self._quota is not None and needed > self._quota:
            raise NoRoom(f"{name} has {_told(needed)}, the quota on this node is {_told(self._quota)}")
        others = [n for n in self._items() if n != name]
        while True:
            over = self._over(name, needed, others)
            if over is None:
                return
            if not others:
                raise NoRoom(over)
            oldest = min(others, key=self._last_use)
            others.remove(oldest)
            self._evict(oldest)

    def _over(self, name: str, needed: int, others: Sequence[str]) -> Optional[str]:
        used = sum(self._state(n).bytes for n in self._items() if n != name)
        if self._quota is not None and used + needed > self._quota:
            return f"{name} has {_told(needed)}; {_told(used)} of {_told(self._quota)} are taken by items in use"
        part = os.path.join(self.folder, f".{name}.part")
        here = sum(_size(str(p)) or 0 for p in Path(part).rglob("*")) if os.path.isdir(part) else 0
        free = shutil.disk_usage(self.folder).free
        if needed - here <= free:
            return None
        return f"{name} needs {_told(needed - here)}, {self.folder} has {_told(free)} free"

    def _last_use(self, name: str) -> float:
        try:
            return os.stat(os.path.join(self.folder, f".{name}.use")).st_mtime
        except OSError:
            return 0.0

    def _evict(self, name: str) -> None:
        """Remove an item that nobody reads and nobody makes; any other is left alone."""
        with self._try_lock(f".{name}.lock") as unlocked, self._try_lock(f".{name}.use") as unread:
            if unlocked and unread:
                self._log(f"{name}: removed from {self.folder} to make room")
                self._remove(name)

    def _remove(self, name: str) -> None:
        for folder in (name, f".{name}.part"):
            self._discard(os.path.join(self.folder, folder))
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, f".{name}.json"))

    def _discard(self, path: str) -> None:
        trash = os.path.join(self.folder, f".trash-{nonce()}")
        with suppress(FileNotFoundError):
            os.rename(path, trash)
            shutil.rmtree(trash, ignore_errors=True)

    # -- locks --------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock; waits, says so, and gives up when told to leave."""
        descriptor = os.open(os.path.join(self.folder, name), os.O_RDWR | os.O_CREAT, 0o600)
        deadline, told = time.monotonic() + WAIT_S, False
        try:
            while not _flock(descriptor, fcntl.LOCK_EX):
                if self._stop():
                    raise Stopped
                if time.monotonic() > deadline:
                    raise OSError(f"{self.folder}/{name}: another process holds it since {WAIT_S:.0f} s")
                if not told:
                    self._log(f"{self.folder}: another process is bringing {name[1:].rpartition('.')[0] or 'an item'}")
                    told = True
                time.sleep(LOOK_S)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _try_lock(self, name: str) -> Iterator[bool]:
        descriptor = os.open(os.path.join(self.folder, name), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield _flock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    def _hold(self, name: str) -> None:
        """Be a reader: eviction leaves the item alone until `close`."""
        path = os.path.join(self.folder, f".{name}.use")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # at once: an evictor lets go in a moment
        os.utime(path)
        self._held.append(descriptor)


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _told(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _below(folder: str) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [_size(os.path.join(root, name)) or 0 for root, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)


def boot_id() -> str:
    """Of this machine since it was started (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "?"
