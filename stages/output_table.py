"""A table of tasks as Parquet: a row for each, a column for each value that its class has in the output."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stages.output_fields import Entry, OutputTask, entries, json_text
from stages.output_types import JSON, ColumnType, Fields, ListOf

if TYPE_CHECKING:
    import pyarrow


def schema(cls: type[OutputTask]) -> pyarrow.Schema:
    """The columns of a task class, with their Arrow types."""
    return schema_of(entries(cls, "parquet"))


def schema_of(columns: Sequence[Entry]) -> pyarrow.Schema:
    """These columns, with their Arrow types."""
    import pyarrow

    return pyarrow.schema([pyarrow.field(e.name, _arrow_type(e), nullable=e.nullable) for e in columns])


def table(tasks: Sequence[OutputTask], fan: int, columns: Sequence[Entry]) -> pyarrow.Table:
    """These columns of tasks of one class."""
    import pyarrow

    rows = [{entry.name: _cell(entry, task, fan) for entry in columns} for task in tasks]
    return pyarrow.Table.from_pylist(rows, schema=schema_of(columns))


def table_bytes(tasks: Sequence[OutputTask], fan: int, kind: type[OutputTask]) -> bytes:
    """The table of tasks of one class: the same tasks give the same bytes."""
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(table(tasks, fan, entries(kind, "parquet")), sink, compression="zstd")
    return sink.getvalue()


def _cell(entry: Entry, task: OutputTask, fan: int) -> Any:
    value = entry.value(task, fan)
    return json_text(value) if entry.column == JSON and entry.output.arrow is None and value is not None else value


def _arrow_type(entry: Entry) -> Any:
    import pyarrow

    return _arrow(entry.column) if entry.output.arrow is None else pyarrow.type_for_alias(entry.output.arrow)


def _arrow(column: ColumnType) -> Any:
    import pyarrow

    if isinstance(column, ListOf):
        return pyarrow.list_(_arrow(column.item))
    if isinstance(column, Fields):
        return pyarrow.struct([(name, _arrow(inner)) for name, inner in column.types.items()])
    return pyarrow.type_for_alias("string" if column == JSON else column)
