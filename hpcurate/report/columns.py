"""Columns of a table of rows: scalars and lists of them as they are, all else as JSON text. Pure.

The types are those of the values, over all rows: no class of a stage is imported, which may be gone or changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

LONGEST_INT = 2**63


class Column(msgspec.Struct, frozen=True):
    """What one column holds."""

    kind: str = ""
    """Arrow's name of the type of its values; empty: nothing but null so far."""
    listed: bool = False
    """Lists of them."""

    def __or__(self, other: Column) -> Column:
        """A column that holds the values of both."""
        if NULL in (self, other):
            return other if self == NULL else self
        if self.listed != other.listed:
            return JSON
        if self.kind == other.kind or not other.kind:
            return self
        if not self.kind:
            return other
        return msgspec.structs.replace(self, kind="double") if {self.kind, other.kind} == {"int64", "double"} else JSON

    @property
    def is_json(self) -> bool:
        """Whether values are JSON text."""
        return self == JSON


JSON = Column("json")
NULL = Column()


def column_of(value: Any) -> Column:
    """The column of one value."""
    if isinstance(value, list):
        inner = NULL
        for one in value:
            inner |= column_of(one)
        return JSON if inner.listed or inner.is_json else Column(inner.kind, listed=True)
    kinds = {type(None): "", bool: "bool", float: "double", str: "string"}
    if isinstance(value, int) and not isinstance(value, bool):
        return Column("int64") if -LONGEST_INT <= value < LONGEST_INT else JSON
    return Column(kinds[type(value)]) if type(value) in kinds else JSON


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """Name → column, in the order in which the rows have them."""
    found: dict[str, Column] = {}
    for row in rows:
        for name, value in row.items():
            found[name] = found.get(name, NULL) | column_of(value)
    return found


def cell(value: Any, column: Column) -> Any:
    """A value as its column holds it; text without what is no text."""
    if value is None:
        return None
    if column.is_json:
        return json_text(value)
    if isinstance(value, list):
        return [cell(one, msgspec.structs.replace(column, listed=False)) for one in value]
    return float(value) if column.kind == "double" else readable(value) if isinstance(value, str) else value


def json_text(value: Any, indent: int | None = None) -> str:
    """As JSON that every reader takes: NaN and infinity are null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent)


def readable(text: str) -> str:
    """A text that may be a name of any bytes: those that are no UTF-8 become `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
