"""Whether two of very many tasks have one id, in memory that does not grow with them."""

from __future__ import annotations

import os
import tempfile
from array import array
from bisect import bisect_left
from typing import IO

PARTS = 64
"""What does not stay in memory is divided into so many files by value."""
IN_MEMORY = 2**19
"""Ids that do."""


class Ids:
    """Ids, each as its `hash64`."""

    def __init__(self) -> None:
        self._last = array("q")
        self._files: list[IO[bytes]] = []

    def add(self, ids: array[int]) -> None:
        """Some more."""
        self._last.extend(ids)
        if len(self._last) > IN_MEMORY:
            self._write()

    def twice(self) -> bool:
        """Whether any of them was added twice."""
        if not self._files:
            return _twice(self._last)
        self._write()
        return any(_twice(_read(file)) for file in self._files)

    def _write(self) -> None:
        if not self._files:
            self._files = [_temporary() for _ in range(PARTS)]
        ordered = array("q", sorted(self._last))
        edges = [bisect_left(ordered, -(2**63) + part * 2**64 // PARTS) for part in range(PARTS)]
        for file, low, high in zip(self._files, edges, [*edges[1:], len(ordered)], strict=True):
            file.write(ordered[low:high])
        self._last = array("q")


def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="hpcurate-ids-")


def _read(file: IO[bytes]) -> array[int]:
    found = array("q")
    file.seek(0)
    found.frombytes(file.read())
    file.seek(0, os.SEEK_END)
    return found


def _twice(ids: array[int]) -> bool:
    return len(set(ids)) < len(ids)
