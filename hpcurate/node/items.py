"""The items in a node's folder. Runs in stage processes, too: Python 3.9, the standard library, attrs and msgspec.

Everything lies in one folder of the node's own disk, where `flock` is reliable:

    <name>/          an item                        .<name>.part/   an unfinished copy
    .<name>.json     its size, whether it is done
    .<name>.lock     held while it is made          .<name>.use     held (shared) by each reader; its time: last use
    .room            held while room is made

A process that dies releases its locks; what it left is continued or made again, and never taken for finished.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Optional

import attrs
import msgspec

from hpcurate.system.processes import nonce

WAIT_S = 3600.0
"""How long to wait for another process that makes an item."""
POLL_S = 0.2
"""Between two tries for a lock."""


@attrs.define(frozen=True, kw_only=True)
class StagedItem:
    """Where an item is to be read, and what this process did for it."""

    path: str
    reason: str = ""
    """Why it is read from shared storage; empty if it is on the node."""
    copied_files: int = 0
    """By this process; 0 if another had done it."""
    copied_bytes: int = 0
    seconds: float = 0.0

    @property
    def local(self) -> bool:
        """Whether it lies on the node's own disk."""
        return not self.reason


@attrs.define(frozen=True)
class ItemState:
    """Content of `.<name>.json`."""

    bytes: int = 0
    done: bool = False
    boot: str = ""
    """Of the machine, if the item must not outlive it."""


class NodeItems:
    """The items in one folder of this node, and those of them that this process reads."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._held: list[int] = []

    def path(self, name: str) -> str:
        """Where the item lies."""
        return os.path.join(self.folder, name)

    def part(self, name: str) -> str:
        """Its unfinished copy."""
        return os.path.join(self.folder, f".{name}.part")

    def lock(self, name: str) -> str:
        """File that is locked while the item is made."""
        return os.path.join(self.folder, f".{name}.lock")

    def use(self, name: str) -> str:
        """File on which each reader holds a shared lock."""
        return os.path.join(self.folder, f".{name}.use")

    def names(self) -> list[str]:
        """Finished and unfinished items."""
        return sorted(n[1:-5] for n in os.listdir(self.folder) if n.startswith(".") and n.endswith(".json"))

    def state(self, name: str) -> ItemState:
        """What is known of an item; an empty state if nothing is."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(Path(self.folder, f".{name}.json").read_bytes(), type=ItemState)
        return ItemState()

    def finished(self, name: str) -> Optional[ItemState]:
        """The state of an item that was made where it stands, if it is done and nobody has deleted it."""
        state = self.state(name)
        return state if state.done and os.path.isdir(self.path(name)) else None

    def record(self, name: str, state: ItemState) -> None:
        """Replace what is known of an item."""
        path = os.path.join(self.folder, f".{name}.json")
        Path(f"{path}.new").write_bytes(msgspec.json.encode(state))
        os.replace(f"{path}.new", path)

    def empty(self, name: str) -> str:
        """An empty folder where the item will stand; what a killed process left there is removed."""
        path = self.path(name)
        self.discard(path)
        os.mkdir(path, mode=0o700)
        return path

    def remove(self, name: str) -> None:
        """Delete an item, finished or not. The caller holds its lock."""
        for path in (self.path(name), self.part(name)):
            self.discard(path)
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, f".{name}.json"))

    def discard(self, path: str) -> None:
        """Delete a folder, by a rename first: a reader sees all of it or nothing."""
        trash = os.path.join(self.folder, f".trash-{nonce()}")
        with suppress(FileNotFoundError):
            os.rename(path, trash)
            shutil.rmtree(trash, ignore_errors=True)

    def read(self, name: str) -> None:
        """Become a reader: nobody removes the item until `close`, or until this process has ended.

        `fcntl`, because readers share the lock, and because a stage process has no filelock.
        """
        descriptor = os.open(self.use(name), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # at once: whoever removes items holds it for a moment only
        os.utime(self.use(name))
        self._held.append(descriptor)

    def staged(self, name: str, copied: tuple[int, int], started: float) -> StagedItem:
        """An item on the node: (files, bytes) that this process made since `started`, a time of the monotonic clock."""
        seconds = round(time.monotonic() - started, 3)
        return StagedItem(path=self.path(name), copied_files=copied[0], copied_bytes=copied[1], seconds=seconds)

    def close(self) -> None:
        """Stop reading all items."""
        while self._held:
            os.close(self._held.pop())


def size_of(path: str) -> Optional[int]:
    """Bytes of a file; None if it cannot be looked up."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
