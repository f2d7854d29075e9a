"""A supervisor's copies on its node: each item is copied once, whoever needs it, and stays while somebody reads it.

Copies are made beside their place and renamed. An unpacked environment must know its own path, so it is unpacked where
it will stand, and counts only once its `.json` has `done`. The files and locks of an item: `items.py`.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from hpcurate.node.copying import JOURNAL, copy_files
from hpcurate.node.items import ItemState, NodeItems, StagedItem, size_of
from hpcurate.node.locks import exclusive
from hpcurate.node.room import NoRoom, Room
from hpcurate.node.unpacking import unpack
from hpcurate.store.manifest import MANIFEST, FileEntry, read_manifest


class NodeCache:
    """The cache in one folder of this node."""

    def __init__(
        self,
        folder: str,
        *,
        quota: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._items, self._stop, self._log = NodeItems(folder), stop, log
        self._room = Room(self._items, quota, log)

    def copy(self, name: str, source: str) -> StagedItem:
        """Have a copy of the folder `source` on the node, as `name`, made if nobody has; read until `close`.

        On shared storage, with the reason, if it does not fit. Raises Stopped, CopyFault, OSError.
        """
        files = read_manifest(source)
        needed = sum(f.size for f in files)
        return self._stage(
            name, source, needed, lambda: self._is_copied(name, files), lambda: self._copy(name, source, files)
        )

    def unpack(self, name: str, source: str) -> StagedItem:
        """Have the packed environment in the folder `source` unpacked on the node. As `copy`."""
        files = read_manifest(source)
        needed = sum(f.size for f in files)

        def make() -> tuple[int, int]:
            unpack(source, self._items.empty(name), files[0], self._stop)
            return 1, needed

        return self._stage(name, source, needed, lambda: self._items.finished(name) is not None, make)

    def close(self) -> None:
        """Stop reading all items."""
        self._items.close()

    def _stage(
        self, name: str, source: str, needed: int, is_there: Callable[[], bool], make: Callable[[], tuple[int, int]]
    ) -> StagedItem:
        started, copied = time.monotonic(), (0, 0)
        with self._locked(self._items.lock(name), name):
            if not is_there():
                try:
                    copied = self._make(name, needed, make)
                except NoRoom as error:
                    return StagedItem(path=source, reason=str(error))
            self._items.read(name)
        return self._items.staged(name, copied, started)

    def _make(self, name: str, needed: int, make: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """Make room, then the item; (files, bytes)."""
        try:
            with self._locked(os.path.join(self._items.folder, ".room"), "room for an item"):
                self._room.make(name, needed)
                self._items.record(name, ItemState(needed))
            copied = make()
        except OSError as error:
            if error.errno == errno.ENOSPC:  # other programs fill the disk, too: half an item only takes room
                self._items.remove(name)
            raise
        self._items.record(name, ItemState(needed, done=True))
        return copied

    @contextmanager
    def _locked(self, path: str, what: str) -> Iterator[None]:
        def waiting() -> None:
            self._log(f"{self._items.folder}: another process is making {what}")

        with exclusive(path, self._stop, waiting):
            yield

    def _is_copied(self, name: str, files: Sequence[FileEntry]) -> bool:
        """Whether the copy is there and every file has its size; a damaged one is discarded."""
        path = self._items.path(name)
        if not os.path.isdir(path):
            return False
        if all(size_of(os.path.join(path, f.path)) == f.size for f in files):
            return True
        self._log(f"{path}: files are missing or cut short; it is copied again")
        self._items.discard(path)
        return False

    def _copy(self, name: str, source: str, files: Sequence[FileEntry]) -> tuple[int, int]:
        part = self._items.part(name)
        copied = copy_files(source, part, files, self._stop)
        shutil.copyfile(os.path.join(source, MANIFEST), os.path.join(part, MANIFEST))
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(part, JOURNAL))
        os.rename(part, self._items.path(name))
        return copied
