"""Rows in the order of their keys, in bounded memory: what is too much goes to the node's disk. Python 3.9."""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import Any, BinaryIO

from hpcurate.group import Place
from hpcurate.stage_process.store_errors import own_io

__all__ = ["KEPT_BYTES", "Row", "Sorter"]

KEPT_BYTES = 96 << 20
"""Of rows that are sorted in memory."""
OF_A_ROW = 300
"""Bytes that Python takes for a row beside its own."""
HEADER = struct.Struct("<QQII")
"""Of a row in a run: hash, number, bytes of its key, bytes of the row itself."""

Row = tuple[Place, int, bytes]
"""(place of its key, number of the row, the row with its end): numbers differ, so that rows have one order."""


class Sorter:
    """Takes rows in any order, and gives them in that of their keys and, for one key, of their numbers."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._most, self._size = kept_bytes, 0
        self._rows: list[Row] = []
        self._runs: list[BinaryIO] = []
        self._open = ExitStack()

    def __enter__(self) -> Sorter:
        return self

    def __exit__(self, *exc: Any) -> None:
        with suppress(OSError):  # of a full disk, whose failure is known
            self._open.close()
        self._rows = []

    def extend(self, rows: Sequence[Row]) -> None:
        """Some more. Raises StoreFailed where the node's disk is full: that is no fault of the tasks."""
        self._rows += rows
        self._size += sum([len(line) for _, _, line in rows]) + OF_A_ROW * len(rows)
        if self._size > self._most:
            self._spill()

    def __iter__(self) -> Iterator[Row]:
        self._rows.sort()
        if not self._runs:
            return iter(self._rows)
        return heapq.merge(*map(_read, self._runs), iter(self._rows))

    def _spill(self) -> None:
        """Write what is there as one more run: a file without a name, which ends with this process."""
        with own_io("writing rows to be sorted in", tempfile.gettempdir()):
            run = tempfile.TemporaryFile(prefix="hpcurate-sort-")  # noqa: SIM115
            self._open.enter_context(run)
            for (hashed, key), number, line in sorted(self._rows):
                name = key.encode("utf-8", "surrogatepass")
                run.write(HEADER.pack(hashed, number, len(name), len(line)) + name + line)
            run.seek(0)
        self._runs.append(run)
        self._rows, self._size = [], 0


def _read(run: BinaryIO) -> Iterator[Row]:
    with own_io("reading rows to be sorted in", tempfile.gettempdir()):
        while header := run.read(HEADER.size):
            hashed, number, named, size = HEADER.unpack(header)
            key = run.read(named).decode("utf-8", "surrogatepass")
            yield (hashed, key), number, run.read(size)
