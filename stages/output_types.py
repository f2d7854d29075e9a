"""Which column of a table holds a type: scalars, lists and nested classes as they are, all else as JSON text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from msgspec import inspect

from hpcurate import File

JSON = "json"
"""The column type of what has no one type in a table: text that holds JSON."""


@attrs.define(frozen=True)
class ListOf:
    """A list of one type."""

    item: ColumnType


@attrs.define(frozen=True)
class Fields:
    """A nested class: name → type."""

    types: Mapping[str, ColumnType]


ColumnType = str | ListOf | Fields
"""Arrow's name of a scalar type, `JSON`, or what is made of them."""

SCALARS: dict[type, str] = {
    inspect.StrType: "string",
    inspect.BoolType: "bool",
    inspect.IntType: "int64",
    inspect.FloatType: "double",
    inspect.CustomType: "string",
    **dict.fromkeys((inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType), "string"),
    **dict.fromkeys((inspect.UUIDType, inspect.DecimalType, inspect.BytesType), "string"),
}
"""How JSON holds each."""
VALUES: dict[type, str] = {str: "string", int: "int64"}
LISTS = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
CLASSES = (inspect.DataclassType, inspect.StructType, inspect.TypedDictType)


def may_be_none(kind: Any) -> bool:
    """Whether a value of the type may be None."""
    return isinstance(kind, inspect.NoneType | inspect.AnyType) or (
        isinstance(kind, inspect.UnionType) and any(may_be_none(inner) for inner in kind.types)
    )


def is_file(kind: Any) -> bool:
    """Whether it is a `File`, or one that may be None."""
    kinds = _choices(kind)
    return len(kinds) == 1 and isinstance(kinds[0], inspect.CustomType) and kinds[0].cls is File


def column_type(kind: Any) -> ColumnType:
    """The column of a type, as msgspec describes it."""
    return _column(kind, ()) or JSON


def _column(kind: Any, around: tuple[int, ...]) -> ColumnType | None:
    """None for what has no one type, and so for all that holds it. `around`: the classes that it lies in."""
    kinds = _choices(kind)
    if {type(one) for one in kinds} == {inspect.IntType, inspect.FloatType}:
        return "double"
    if len(kinds) != 1:
        return None
    (one,) = kinds
    if type(one) in SCALARS:
        return SCALARS[type(one)]
    if isinstance(one, inspect.EnumType | inspect.LiteralType):
        found = one.values if isinstance(one, inspect.LiteralType) else [member.value for member in one.cls]
        names = {VALUES.get(type(value)) for value in found}
        return names.pop() if len(names) == 1 else None
    return _nested(one, around)


def _nested(kind: Any, around: tuple[int, ...]) -> ColumnType | None:
    if isinstance(kind, LISTS):
        item = _column(kind.item_type, around)
        return None if item is None else ListOf(item)
    if isinstance(kind, inspect.TupleType):
        items = [_column(inner, around) for inner in kind.item_types]
        return ListOf(items[0]) if items and items[0] is not None and all(i == items[0] for i in items) else None
    if isinstance(kind, CLASSES) and kind.fields and id(kind.cls) not in around:
        types = {field.encode_name: _column(field.type, (*around, id(kind.cls))) for field in kind.fields}
        return Fields(types) if all(t is not None for t in types.values()) else None  # type: ignore[arg-type]
    return None


def _choices(kind: Any) -> list[Any]:
    """What a value may be, without None."""
    kinds = list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]
    return [one for one in kinds if not isinstance(one, inspect.NoneType)]
