"""Files of Arrow (as `datasets` writes them) and Parquet, read with pyarrow alone: all rows, or single values."""

from __future__ import annotations

import functools
import itertools
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hpcurate.errors import ConfigError

__all__ = ["columns_of", "reader", "rows_of"]

BATCH = 1000
"""Rows whose light columns are in memory at once."""
FEW = 32
"""Rows whose heavy column is in memory at once: images of a megabyte each."""
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end mark of a stream of Arrow. Without it, whole batches may be missing."""


@contextmanager
def damage(path: str, kind: type[Exception] = ConfigError) -> Iterator[None]:
    """Raise an error of this kind for what pyarrow does not read."""
    try:
        import pyarrow as arrow
    except ImportError:
        raise ConfigError("source: data sets need pyarrow; pip install 'hpcurate[video]'") from None
    try:
        yield
    except (arrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        if kind is not ConfigError and isinstance(error, OSError) and error.errno:
            raise  # of the filesystem: may be gone a moment later
        said = (str(error) or type(error).__name__).partition("\n")[0]
        raise kind(f"{path}: cannot be read: {said:.300}") from None


def columns_of(path: str) -> dict[str, bool]:
    """Column → whether it holds bytes, which stay in the file. Raises ConfigError."""
    with damage(path):
        return {field.name: _has_bytes(field.type) for field in _opened(path).schema}


def rows_of(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """All rows of a file with these columns, in order. Raises ConfigError."""
    with damage(path):
        for batch in _opened(path).batches(list(columns), BATCH):
            batch.validate(full=True)  # else a damaged offset is followed to wherever it leads
            yield from batch.to_pylist() if columns else ({} for _ in range(batch.num_rows))


def reader(path: str) -> _Values:
    """Reads single values of a file; those of the last few files stay open."""
    status = os.stat(path)
    return _values(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _values(path: str, *state: int) -> _Values:
    return _Values(path)


def _has_bytes(kind: Any) -> bool:
    """Whether a type of Arrow is, or has within, bytes that no text is."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    if "binary" in str(kind) and not types.is_nested(kind):  # binary_view
        return True
    inner = [kind.field(n).type for n in range(kind.num_fields)] if types.is_nested(kind) else []
    return any(_has_bytes(one) for one in inner)


# -- the two formats ----------------------------------------------------------------------------------


class _Arrow:
    """A file of Arrow, mapped: only what is looked at is read."""

    def __init__(self, path: str) -> None:
        import pyarrow as arrow

        self._map = arrow.memory_map(path)
        whole = self._map.read(6) == b"ARROW1"
        if not whole:
            self._map.seek(max(0, self._map.size() - len(END)))
            if self._map.read() != END:
                raise ValueError("it ends without its end mark: cut off, or never closed by what wrote it")
        self._map.seek(0)
        opened = arrow.ipc.open_file(self._map) if whole else arrow.ipc.open_stream(self._map)
        self._table = opened.read_all()
        self.schema = self._table.schema
        self.starts = list(itertools.accumulate((b.num_rows for b in self._table.to_batches()), initial=0))

    def batches(self, columns: list[str], most: int) -> Iterator[Any]:
        """All rows of these columns."""
        yield from self._table.select(columns).to_batches(max_chunksize=most)

    def within(self, number: int, column: str) -> Iterator[Any]:
        """The column in one of the pieces that begin at `starts`, in order."""
        start, count = self.starts[number], self.starts[number + 1] - self.starts[number]
        yield from self._table.select([column]).slice(start, count).to_batches(max_chunksize=FEW)


class _Parquet:
    """A file of Parquet: a piece is a row group."""

    def __init__(self, path: str) -> None:
        from pyarrow import parquet

        self._file = parquet.ParquetFile(path, memory_map=False, page_checksum_verification=True)
        self.schema = self._file.schema_arrow
        groups = self._file.metadata
        counts = (groups.row_group(n).num_rows for n in range(groups.num_row_groups))
        self.starts = list(itertools.accumulate(counts, initial=0))

    def batches(self, columns: list[str], most: int) -> Iterator[Any]:
        """All rows of these columns."""
        for batch in self._file.iter_batches(batch_size=most, columns=columns):
            yield batch.select(columns)

    def within(self, number: int, column: str) -> Iterator[Any]:
        """The column in one of the pieces that begin at `starts`, in order."""
        for batch in self._file.iter_batches(batch_size=FEW, row_groups=[number], columns=[column]):
            yield batch.select([column])


def _opened(path: str) -> _Arrow | _Parquet:
    return _Parquet(path) if path.lower().endswith(".parquet") else _Arrow(path)


class _Values:
    """Values of single rows. Those that follow each other are read once: the last batch of each column stays."""

    def __init__(self, path: str) -> None:
        self._path = path
        with damage(path, ValueError):
            self._file = _opened(path)
        self._last: dict[str, tuple[int, Any, Iterator[Any]]] = {}

    def value(self, column: str, row: int) -> Any:
        """Raises LookupError for a column or row that is not there, ValueError for damage, OSError."""
        names = self._file.schema.names
        if column not in names:
            raise LookupError(f"{self._path}: no column {column!a}; it has {', '.join(names)}")
        if not 0 <= row < self._file.starts[-1]:
            raise LookupError(f"{self._path}: no row {row}; it has {self._file.starts[-1]}")
        with damage(self._path, ValueError):
            start, batch = self._batch(column, row)
            return batch.column(0)[row - start].as_py()

    def _batch(self, column: str, row: int) -> tuple[int, Any]:
        number = bisect_right(self._file.starts, row) - 1
        begin = self._file.starts[number]
        at, batch, rest = self._last.get(column, (0, None, iter(())))
        if batch is None or not begin <= at <= row:
            at, batch, rest = begin, None, self._file.within(number, column)
        while batch is None or at + batch.num_rows <= row:
            at, batch = at + (batch.num_rows if batch is not None else 0), next(rest, None)
            if batch is None:
                raise ValueError(f"row {row} is missing")
            batch.validate(full=True)
        self._last[column] = at, batch, rest
        return at, batch
