"""Rows of JSONL, CSV and Parquet as tasks, streamed."""

from __future__ import annotations

import csv
import glob
import io
import json
import math
import os
import sys
from array import array
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import msgspec

from hpcurate.digest import digest
from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option, suggestion
from hpcurate.source.base import Block, Placed, RecordTask, absolute
from hpcurate.source.blocks import block_of, in_blocks
from hpcurate.source.columns import Columns, columns
from hpcurate.source.pieces import read_files, readable, split
from hpcurate.system.classes import load_class
from hpcurate.task import Task, stable_id

Row = tuple[str, dict[str, Any]]
"""Where it stands (`file:line`), and what it holds."""


@attrs.define(frozen=True)
class _Table:
    path: str = option(NEEDED, "file, or a glob of several, which are read in the order of their names")
    task: str | None = option(
        None, "task class whose fields the columns are, module.Class; default: a RecordTask with `data`"
    )
    id: str = option("id", "column that names the row; without it the row's content does")
    weight: str = option("weight", "column with the expected cost; without it 1")
    extra: str = option(
        "error", "a column that the task class has no field for: `error`, or `ignore`", choices=("error", "ignore")
    )

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")
        if self.task is not None and not issubclass(self.task_type, Task):
            raise ConfigError(f"source.task={self.task}: is no Task class")

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        if self.task is None:
            return RecordTask
        found: type[Task] = load_class(self.task, "source.task")
        return found

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        kind = {"task": self.task, "id": self.id, "weight": self.weight}
        return {type(self).__name__.lower(): absolute(self.path), **kind}

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""
        raise NotImplementedError

    def files(self) -> list[str]:
        """Paths of its files, in order. Raises ConfigError."""
        return manifest_files(self.path)

    def reading(self) -> str | None:
        """Names what its tasks depend on beside its files; None where nobody can tell: code of others."""
        reader = self._columns()
        if reader is None or type(self) not in (Jsonl, Csv, Parquet):
            return None
        return digest([type(self).__name__, attrs.asdict(self), reader.fields])

    def _columns(self) -> Columns | None:
        return columns(self.task_type, self.id, self.weight, ignore=self.extra == "ignore")

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        cls, names, found = self.task_type, self._names, False
        for where, row in self.rows():
            found = True
            yield where, self._task(cls, names, where, row)
        if not found:
            raise ConfigError(f"input={self.path}: holds no row")

    @property
    def _names(self) -> set[str] | None:
        """Fields that a row may have; None: any."""
        return None if self.task_type is RecordTask else {f.name for f in attrs.fields(self.task_type)}

    def _task(self, cls: type[Task], names: set[str] | None, where: str, row: dict[str, Any]) -> Task:
        id = row.get(self.id)
        own = {"id": stable_id("row", digest(row)) if id in (None, "") else str(id)}
        if row.get(self.weight) not in (None, ""):
            own["weight"] = row[self.weight]
        data = {k: v for k, v in row.items() if k not in (self.id, self.weight)}
        plain = {**own, "data": data} if names is None else {**data, **own}
        unknown = set() if names is None else plain.keys() - names
        if unknown and self.extra == "error":
            near = suggestion(min(unknown), sorted(names or ()))
            raise ConfigError(
                f"{where}: {cls.__name__} has no field {min(unknown)!a}; {near}; give it one, leave the column out, "
                "or source.extra=ignore"
            )
        plain = {name: value for name, value in plain.items() if name not in unknown}
        try:
            task: Task = msgspec.convert(plain, cls, strict=False)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate that is to be a number
            raise ConfigError(f"{where}: not a {cls.__name__}: {error}") from None
        if not math.isfinite(task.weight):
            raise ConfigError(f"{where}: {self.weight}={task.weight}: a weight is a finite number")
        return task


class Jsonl(_Table):
    """One JSON object a line."""

    def rows(self) -> Iterator[Row]:
        """See `_Table`."""
        return json_rows(self.path)

    def blocks(self, starts: Mapping[str, int] = MappingProxyType({})) -> Iterator[Block]:
        """See `Source`. With `starts` only what comes after these bytes of the files, where `reading` is known."""
        reader = self._columns()
        if reader is None or type(self) is not Jsonl:  # a class of somebody's may make other tasks of a row
            yield from in_blocks(self.task_type, self.tasks())
            return
        found = bool(starts)
        for block in read_files(self.files(), starts, lambda path, lines: self._block(reader, path, lines)):
            found = found or len(block.ids) > 0
            yield block
        if not found:
            raise ConfigError(f"input={self.path}: holds no row")

    def _block(self, reader: Columns, path: str, lines: bytes) -> Block:
        """Raises ConfigError or RecordError; which line it is, whoever reads row by row finds out."""
        cls, ids, rows = self.task_type, array("q"), list[bytes]()
        for some in split(lines):
            block = reader.block(some)
            if block is None:
                found = [json_object(path, line) for line in io.BytesIO(some) if line.strip()]
                block = block_of(cls, [self._task(cls, self._names, path, row) for row in found])
            ids.extend(block.ids)
            rows.append(block.rows)
        return Block(b"".join(rows), ids)


class Csv(_Table):
    """Comma-separated values with a header line; UTF-8."""

    def rows(self) -> Iterator[Row]:
        """See `_Table`."""
        csv.field_size_limit(sys.maxsize)  # else 128 kB, less than some captions
        for path in manifest_files(self.path):
            with readable(path), open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
                reader = csv.DictReader(file, strict=True)  # not strict, an open quote swallows the rest of the file
                try:
                    yield from _csv_rows(path, reader)
                except csv.Error as error:
                    raise ConfigError(f"{path}:{reader.line_num}: not CSV: {error}") from None


class Parquet(_Table):
    """Rows of Parquet files; a row group is held at a time. Needs pyarrow (the video extra has it)."""

    def rows(self) -> Iterator[Row]:
        """See `_Table`."""
        try:
            import pyarrow as arrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise ConfigError("source: Parquet needs pyarrow; pip install 'hpcurate[video]'") from None
        for path in manifest_files(self.path):
            number = 0
            try:
                for batch in parquet.ParquetFile(path).iter_batches(batch_size=1000):
                    for row in batch.to_pylist():
                        number += 1
                        # times as ISO 8601, decimals as text, bytes as base64: what a row holds, and a field reads back
                        yield f"{path}:{number}", msgspec.to_builtins(row, str_keys=True)
            except (arrow.ArrowException, OSError, ValueError, TypeError) as error:
                where = f"{path}:{number}" if number else path
                raise ConfigError(f"{where}: cannot be read as Parquet: {error}") from None


def _csv_rows(path: str, reader: csv.DictReader[str]) -> Iterator[Row]:
    names = list(reader.fieldnames or [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}:1: two columns are called {twice[0]!r}")
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise ConfigError(f"{where}: expected {len(names)} columns as in the header")
        yield where, dict(row)


def json_rows(path: str) -> Iterator[Row]:
    """Objects of JSONL files. Raises ConfigError naming file and line."""
    for file_path in manifest_files(path):
        with readable(file_path), open(file_path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{file_path}:{number}", json_object(f"{file_path}:{number}", line)


def json_object(where: str, line: bytes) -> dict[str, Any]:
    """What a line holds. Raises ConfigError."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected a JSON object, got {row!a:.80}")
    return row


def manifest_files(path: str) -> list[str]:
    """The file, or those a glob matches, sorted. Raises ConfigError."""
    plain = absolute(path)
    if os.path.isfile(plain):
        return [plain]
    found = sorted(p for p in glob.glob(plain, recursive=True) if os.path.isfile(p))
    if not found:
        raise ConfigError(f"input={path}: no such file; give a manifest, or a glob of several")
    return found
