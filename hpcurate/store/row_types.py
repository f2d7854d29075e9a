"""What the declared types of a task's fields may hold: what to look at before a row is written, samples. Pure.

Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import msgspec

from hpcurate.errors import PipelineError
from hpcurate.task import File


@cache
def field_types(cls: type) -> dict[str, Any]:
    """The types of a task class's fields, as msgspec describes them, which takes a while."""
    return {field.name: field.type for field in getattr(msgspec.inspect.type_info(cls), "fields", ())}


def loose_fields(cls: type) -> tuple[str, ...]:
    """Fields that may hold NaN or something undeclared, and so are looked at before each write."""
    info = msgspec.inspect
    loose = (info.FloatType, info.AnyType, info.CustomType)
    fields = field_types(cls).items()
    return tuple(name for name, kind in fields if any(isinstance(k, loose) and not _file(k) for k in kinds_in(kind)))


def is_refused_as_null(kind: Any) -> bool:
    """Whether the reader refuses every value of a loose field that would need a look: JSON has null for NaN."""
    info = msgspec.inspect
    sequences = (info.ListType, info.TupleType, info.VarTupleType, info.SetType, info.FrozenSetType)
    numbers = (info.FloatType, info.IntType, info.BoolType, info.UnionType)
    return all(isinstance(inner, (*numbers, *sequences)) for inner in kinds_in(kind))


def is_plain_if_equal(kind: Any) -> bool:
    """Whether a value that equals what is read back is one that JSON can hold: of classes `==` may mean anything."""
    info = msgspec.inspect
    simple = (info.FloatType, info.IntType, info.BoolType, info.StrType, info.NoneType, info.AnyType, info.EnumType)
    several = (info.ListType, info.TupleType, info.VarTupleType, info.SetType, info.FrozenSetType, info.DictType)
    others = (info.UnionType, info.LiteralType, info.CustomType)
    return all(isinstance(inner, (*simple, *several, *others)) for inner in kinds_in(kind))


def compared_fields(cls: type, *, keys: bool) -> tuple[str, ...]:
    """Fields that are compared with what is read back: classes may have subclasses; with `keys` dicts, too."""
    info = msgspec.inspect
    classes = (info.DataclassType, info.StructType, info.TypedDictType)
    kinds = (*classes, info.DictType, info.AnyType) if keys else classes
    return tuple(name for name, kind in field_types(cls).items() if any(isinstance(k, kinds) for k in kinds_in(kind)))


def may_name_files(cls: type) -> bool:
    """Whether a field is declared so that it may hold a `File`."""
    others = (msgspec.inspect.CustomType, msgspec.inspect.AnyType)
    return any(isinstance(inner, others) for kind in field_types(cls).values() for inner in kinds_in(kind))


def has_odd_keys(kind: Any) -> bool:
    """Whether it holds a dict whose keys are declared as something else than strings: JSON's are strings."""
    info = msgspec.inspect
    dicts = (k for k in kinds_in(kind) if isinstance(k, info.DictType))
    return any(not isinstance(k.key_type, (info.StrType, info.AnyType)) for k in dicts)


def _file(kind: Any) -> bool:
    return isinstance(kind, msgspec.inspect.CustomType) and kind.cls is File


def kinds_in(info: Any) -> Iterator[Any]:
    """A type and all types in it, each once: a class may hold itself."""
    seen: set[int] = set()
    waiting = [info]
    while waiting:
        kind = waiting.pop()
        if id(kind) not in seen:
            seen.add(id(kind))
            yield kind
            waiting += _inside(kind)


def _inside(info: Any) -> Iterator[Any]:
    for name in ("types", "item_types"):
        yield from getattr(info, name, ())
    for name in ("item_type", "key_type", "value_type", "type"):
        inner = getattr(info, name, None)
        if isinstance(inner, msgspec.inspect.Type):
            yield inner
    for field in getattr(info, "fields", ()):
        yield field.type


def may_be_key(kind: Any) -> bool:
    """Whether JSON's keys, which are text, can be read back as this type."""
    info = msgspec.inspect
    if isinstance(kind, info.UnionType):
        return all(may_be_key(inner) for inner in kind.types if not isinstance(inner, info.NoneType)) and (
            len(kind.types) == 1 + any(isinstance(inner, info.NoneType) for inner in kind.types)
        )
    text = (info.StrType, info.AnyType, info.EnumType, info.LiteralType, info.BytesType)
    times = (info.DateType, info.DateTimeType, info.TimeType, info.TimeDeltaType, info.UUIDType, info.DecimalType)
    return isinstance(kind, (*text, *times, info.IntType, info.FloatType))


def may_be_custom(cls: type) -> bool:
    """Whether rows know a class that is no plain type."""
    return cls is File or issubclass(cls, (Path, PurePath))


def sample_of(kind: Any) -> Any:
    """A value of the type that stresses it: an undecodable name for strings, infinity for floats."""
    info = msgspec.inspect
    if isinstance(kind, info.UnionType):
        return _sample_of_union(kind)
    if isinstance(kind, info.CustomType):
        return kind.cls("a/b")
    if has_odd_keys(kind) and isinstance(kind, info.DictType):
        return {sample_of(kind.key_type): sample_of(kind.value_type)}
    simple: dict[Any, Any] = {
        info.StrType: "ü\udcff\n",
        info.FloatType: math.inf,
        info.IntType: 7,
        info.BoolType: True,
        info.ListType: [],
        info.DictType: {},
        info.AnyType: None,
        info.NoneType: None,
        info.BytesType: b"\x00\xff",
    }
    if type(kind) in simple:
        return simple[type(kind)]
    if isinstance(kind, info.VarTupleType):
        return (sample_of(kind.item_type),)
    if isinstance(kind, info.TupleType):
        return tuple(sample_of(t) for t in kind.item_types)
    if isinstance(kind, info.EnumType):
        return next(iter(kind.cls))
    if isinstance(kind, info.LiteralType):
        return kind.values[0]
    if isinstance(kind, info.DataclassType):
        return kind.cls(**{f.name: sample_of(f.type) for f in kind.fields})
    return _sample_of_standard_type(kind)


def _sample_of_union(kind: Any) -> Any:
    if any(inner is kind for choice in kind.types for inner in kinds_in(choice)):
        return None  # of a class that may hold itself
    return sample_of(next(choice for choice in kind.types if not isinstance(choice, msgspec.inspect.NoneType)))


def _sample_of_standard_type(kind: Any) -> Any:
    import datetime
    import decimal
    import uuid

    info = msgspec.inspect
    values: dict[Any, Any] = {
        info.DateTimeType: datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        info.DateType: datetime.date(2024, 1, 2),
        info.TimeType: datetime.time(3, 4, 5),
        info.TimeDeltaType: datetime.timedelta(seconds=1.5),
        info.UUIDType: uuid.UUID(int=5),
        info.DecimalType: decimal.Decimal("1.50"),
        info.SetType: set(),
        info.FrozenSetType: frozenset(),
    }
    try:
        return values[type(kind)]
    except KeyError:
        raise PipelineError(f"a field of type {kind} is not supported in a task") from None
