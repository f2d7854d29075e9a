"""Files of rows: Parquet and JSON lines, of tasks of any class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import attrs
import msgspec

from hpcurate.task import Task
from stages.output_fields import Entry, Output, entries, json_text
from stages.output_table import schema_of, table
from stages.shards.numbered import Packed
from stages.shards.order import key_of

ID = "id"
GROUP = 64 << 20
"""Bytes of the rows of a row group of Parquet, as JSON: what a reader has in memory at a time."""
AT_ONCE = 4096
"""Rows that are looked at together."""


def columns(kind: type[Task], place: Literal["json", "parquet"]) -> list[Entry]:
    """The id, then each field of a class that is written (`stages.output_fields`), without files."""
    found = [entry for entry in entries(kind, place) if entry.published is None]  # type: ignore[arg-type]
    if ID in (entry.name for entry in found):
        return found
    return [Entry(ID, msgspec.inspect.type_info(str), Output(), lambda task: task.id), *found]


@attrs.define(frozen=True, slots=False)
class Rows:
    """Files of rows of one class, as `Numbered` wants them."""

    kind: type[Task]
    overhead = 0

    @cached_property
    def _json(self) -> list[Entry]:
        return columns(self.kind, "json")

    def key(self, sample: Task) -> str:
        """See `Form`."""
        return key_of(sample.id)

    def line(self, sample: Task) -> bytes:
        """The row as JSON, with a line end."""
        found = {entry.name: entry.value(sample, 0) for entry in self._json}  # type: ignore[arg-type]
        return json_text(found, separators=(",", ":")).encode() + b"\n"


class JsonLines(Rows):
    """One JSON object a line."""

    suffix = ".jsonl"

    def item(self, sample: Task) -> tuple[bytes, int]:
        """See `Form`."""
        line = self.line(sample)
        return line, len(line)

    def digests(self, samples: Sequence[Task]) -> Iterator[str]:
        """See `Form`."""
        return (hashlib.sha256(self.line(sample)).hexdigest() for sample in samples)

    def write(self, path: str, items: Iterable[bytes]) -> None:
        """See `Form`."""
        with open(path, "wb") as file:
            file.writelines(items)

    def read(self, path: str) -> Iterator[Packed]:
        """See `Form`; the place is offset and size of the line."""
        offset = 0
        with open(path, "rb") as file:
            for line in file:
                digest = hashlib.sha256(line).hexdigest()
                yield Packed(key_of(json.loads(line)[ID]), digest, {"offset": offset, "size": len(line)})
                offset += len(line)


class ParquetRows(Rows):
    """Typed columns, compressed with zstd, in row groups that fit into memory."""

    suffix = ".parquet"

    @cached_property
    def _columns(self) -> list[Entry]:
        return columns(self.kind, "parquet")

    def item(self, sample: Task) -> tuple[tuple[Task, int], int]:
        """See `Form`."""
        size = len(self.line(sample))
        return (sample, size), size

    def digests(self, samples: Sequence[Task]) -> Iterator[str]:
        """See `Form`; of rows as Parquet gives them back."""
        for first in range(0, len(samples), AT_ONCE):
            some = table(samples[first : first + AT_ONCE], 0, self._columns)  # type: ignore[arg-type]
            yield from map(_digest, some.to_pylist())

    def write(self, path: str, items: Iterable[tuple[Task, int]]) -> None:
        """See `Form`."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetWriter(path, schema_of(self._columns), compression="zstd") as writer:
            for some in _groups(items):
                writer.write_table(table(some, 0, self._columns), row_group_size=len(some))  # type: ignore[arg-type]

    def read(self, path: str) -> Iterator[Packed]:
        """See `Form`; the place is the number of the row."""
        import pyarrow.parquet

        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(AT_ONCE):
                for row in batch.to_pylist():
                    yield Packed(key_of(row[ID]), _digest(row), {"row": number})
                    number += 1


FORMS: dict[str, type[JsonLines] | type[ParquetRows]] = {"parquet": ParquetRows, "jsonl": JsonLines}


def _digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json_text(row, default=str).encode()).hexdigest()


def _groups(items: Iterable[tuple[Task, int]]) -> Iterator[list[Task]]:
    """Rows of each row group."""
    some, total = list[Task](), 0
    for sample, size in items:
        some.append(sample)
        total += size
        if total >= GROUP:
            yield some
            some, total = [], 0
    if some:
        yield some
