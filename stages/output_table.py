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
    import pyarrow

    columns = entries(cls, "parquet")
    return pyarrow.schema([pyarrow.field(e.name, _arrow_type(e), nullable=e.nullable) for e in columns])


def table_bytes(tasks: Sequence[OutputTask], fan: int, kind: type[OutputTask]) -> bytes:
    """The table of tasks of one class: the same tasks give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    columns = entries(kind, "parquet")
    rows = [{entry.name: _cell(entry, task, fan) for entry in columns} for task in tasks]
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema(kind)), sink, compression="zstd")
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
