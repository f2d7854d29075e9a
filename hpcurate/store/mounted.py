"""A store that is known to be there: what is not found in it is not there only while the store itself is.

An unmounted filesystem leaves an empty folder. A worker that believed it would find no shard committed, and make
folders and claims where nobody ever sees them. So the answer "not there" is believed only while the store's mark is.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hpcurate.store.filesystem import Content, Filesystem
from hpcurate.store.layout import Store
from hpcurate.store.trouble import NOT_THERE


class Mounted:
    """Shared storage that has one store; see `Filesystem`. Where the store is not there, OSError with ENODEV."""

    def __init__(self, inner: Filesystem, store: Store) -> None:
        self._inner, self._store = inner, store

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        found = self._inner.names(folder)
        if not found:
            self._check()
        return found

    def stamp(self, folder: str) -> int:
        """See `Filesystem`."""
        found = self._inner.stamp(folder)
        if not found:
            self._check()
        return found

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        with self._checked():
            return self._inner.read(path)

    def read_all(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """See `Filesystem`."""
        found = self._inner.read_all(paths)
        if any(isinstance(one, FileNotFoundError) for one in found):
            self._check()
        return found

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        with self._checked():
            return self._inner.create(path, data)

    def claim(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        with self._checked():
            return self._inner.claim(path, data)

    def write_new(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        with self._checked():
            self._inner.write_new(path, data)

    def replace(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        with self._checked():
            self._inner.replace(path, data)

    def beat(self, path: str, data: bytes) -> None:
        """See `Filesystem`."""
        with self._checked():
            self._inner.beat(path, data)

    def make_folder(self, path: str) -> bool:
        """See `Filesystem`."""
        with self._checked():
            return self._inner.make_folder(path)

    def make_folders(self, path: str, mode: int | None = None) -> None:
        """See `Filesystem`."""
        self._check()
        self._inner.make_folders(path, mode)

    def sizes(self, folder: str) -> dict[str, int]:
        """See `Filesystem`."""
        with self._checked():
            found = self._inner.sizes(folder)
        if not found:
            self._check()
        return found

    def seal(self, folders: Mapping[str, Content], name: str) -> None:
        """See `Filesystem`."""
        with self._checked():
            self._inner.seal(folders, name)

    def rename(self, source: str, target: str, *, flush: bool = True) -> None:
        """See `Filesystem`."""
        with self._checked():
            self._inner.rename(source, target, flush=flush)

    def discard(self, path: str, trash: str) -> None:
        """See `Filesystem`."""
        self._check()
        self._inner.discard(path, trash)

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self._check()
            raise

    def _check(self) -> None:
        if not self._inner.stamp(self._store.format_json):
            raise OSError(errno.ENODEV, NOT_THERE, self._store.root)
