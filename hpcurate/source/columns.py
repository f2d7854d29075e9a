"""Rows of JSON as the rows of a task class, many at a time: without an object of Python for each field of each row.

What is read here is read as `tables.py` would, row by row: same rows, same ids. Whatever might differ, or is wrong, is
not read here at all: numbers in quotes, NaN, rows without an id, classes with code of their own.
"""

from __future__ import annotations

import math
import typing
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.source.base import Block, RecordTask, hash64
from hpcurate.store.row_types import field_types, kinds_in
from hpcurate.task import File, Task

__all__ = ["Columns", "columns"]

_SEVERAL = (msgspec.inspect.ListType, msgspec.inspect.VarTupleType, msgspec.inspect.DictType)
_PLAIN = (
    *_SEVERAL,
    msgspec.inspect.StrType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.BoolType,
    msgspec.inspect.NoneType,
    msgspec.inspect.AnyType,
    msgspec.inspect.UnionType,
)
"""What JSON has itself, and reads back in one way alone."""
_MAY_BE_NONE: dict[Any, Any] = {File | None: type(None)}
"""A table has no files that a stage made: what may be one is none."""
_PARTLY = (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError, OverflowError, TypeError)
"""What a block with a row to be read by itself raises."""


@attrs.define(frozen=True)
class Columns:
    """Reads lines of JSON."""

    _rows: Callable[[bytes], Sequence[Any]]
    """Lines → what is written of each, with an `id` that is a text or a number. Raises one of _PARTLY."""
    fields: str
    """Names, types and defaults of what is read."""
    _encoder: msgspec.json.Encoder = attrs.field(factory=lambda: msgspec.json.Encoder(order="deterministic"))

    def block(self, lines: bytes) -> Block | None:
        """The tasks of whole lines; None where one of them has to be read by itself, as tables.py does."""
        if not _one_object_a_line(lines):
            return None
        try:
            rows = self._rows(lines)
            ids = _ids(rows)
            if len(rows) != lines.count(b"\n") or "" in ids:
                return None
            return Block(self._encoder.encode_lines(rows), array("q", map(hash64, ids)))
        except _PARTLY:
            return None


def _ids(rows: Sequence[Any]) -> list[str]:
    """All ids, which are texts from now on. Raises TypeError."""
    ids = [row.id for row in rows]
    kinds = set(map(type, ids))
    if kinds == {str}:
        return ids
    if not kinds <= {str, int}:
        raise TypeError
    for row in rows:
        row.id = str(row.id)
    return [row.id for row in rows]


def _one_object_a_line(lines: bytes) -> bool:
    """Whether no object reaches over the end of a line: msgspec would not mind.

    Within an object no `{` follows a `}` without a comma, so a line that ends as these do ends its object.
    """
    inner = lines.count(b"\n") - 1
    return lines.startswith(b"{") and lines.endswith(b"}\n") and lines.count(b"}\n{") == inner


def columns(cls: type[Task], id: str, weight: str, *, ignore: bool) -> Columns | None:
    """A reader for rows with these columns; None for a class whose rows are read one by one.

    `ignore`: columns that the class has no field for are left out, else such a row is read by itself.
    """
    if cls is RecordTask:
        return None if id == weight else Columns(_records(id, weight), "records")
    fields = _plain_fields(cls)
    names = {"id": id, "weight": weight}
    if fields is None or any(column != name and column in {f[0] for f in fields} for name, column in names.items()):
        return None
    try:
        return Columns(_typed(fields, names, ignore=ignore), repr(fields))
    except (TypeError, ValueError):  # what the class declares is nothing for a Struct
        return None


# -- a class with fields ------------------------------------------------------------------------------

Field = tuple[str, Any] | tuple[str, Any, Any]
"""Name, type, and default if it has one."""


def _typed(fields: list[Field], names: dict[str, str], *, ignore: bool) -> Callable[[bytes], Sequence[Any]]:
    options: dict[str, Any] = {"kw_only": True, "gc": False, "forbid_unknown_fields": not ignore}
    row: Any = msgspec.defstruct("Row", fields, rename={k: v for k, v in names.items() if k != v} or None, **options)
    read = _of_text(msgspec.json.Decoder(row).decode_lines) if ignore else msgspec.json.Decoder(row).decode_lines
    if all(name == column for name, column in names.items()):
        return read
    written: Any = msgspec.defstruct("Row", fields, **options)
    return lambda lines: msgspec.convert(read(lines), list[written], from_attributes=True)


def _of_text(read: Callable[[bytes], Sequence[Any]]) -> Callable[[bytes], Sequence[Any]]:
    """The same for UTF-8 alone: in a column that is ignored msgspec looks at no character."""
    return lambda lines: read(lines) if lines.decode() else ()


def _plain_fields(cls: type[Task]) -> list[Field] | None:
    """Of a class that is nothing but fields of plain types."""
    own = ("__attrs_pre_init__", "__attrs_post_init__")
    if not attrs.has(cls) or any(hasattr(cls, name) for name in own):
        return None
    try:
        types, kinds = typing.get_type_hints(cls, include_extras=True), field_types(cls)
    except (TypeError, NameError):
        return None
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    odd = any(f.validator or f.converter or not f.init or f.alias != f.name for f in fields)
    if odd or not all(_is_plain(kind) for name, kind in kinds.items() if types[name] not in _MAY_BE_NONE):
        return None
    read_as = {name: _MAY_BE_NONE.get(kind, kind) for name, kind in types.items()} | {"id": str | int}
    named = {field.name: _field(field, read_as[field.name]) for field in fields}
    found = [named.get(name) for name in _written_order(cls, fields)]
    plain = [field for field in found if field is not None]
    return plain if len(plain) == len(fields) else None


def _written_order(cls: type[Any], fields: Sequence[attrs.Attribute[Any]]) -> list[str]:
    """Names of the fields as msgspec writes them, which is not as they are declared; none of a class without slots."""
    sample: Any = object.__new__(cls)
    for field in fields:
        object.__setattr__(sample, field.name, None)
    return [] if hasattr(sample, "__dict__") else list(msgspec.json.decode(msgspec.json.encode(sample)))


def _is_plain(kind: Any) -> bool:
    keys = (k.key_type for k in kinds_in(kind) if isinstance(k, msgspec.inspect.DictType))
    texts = (msgspec.inspect.StrType, msgspec.inspect.AnyType)
    return all(isinstance(k, _PLAIN) for k in kinds_in(kind)) and all(isinstance(key, texts) for key in keys)


def _field(field: attrs.Attribute[Any], kind: Any) -> Field | None:
    """None where its default is not sure to be read back as it is written."""
    default: Any = field.default
    if default is attrs.NOTHING:
        return field.name, kind
    if hasattr(default, "factory"):
        if default.takes_self or default.factory not in (list, tuple, dict):
            return None
        default = default.factory()
    try:
        msgspec.convert(default, kind)
    except msgspec.ValidationError:
        return None
    return None if isinstance(default, float) and not math.isfinite(default) else (field.name, kind, default)


# -- records ------------------------------------------------------------------------------------------


class _Record(msgspec.Struct, gc=False):
    """A RecordTask, its fields as they are written."""

    data: dict[str, Any]
    id: str | int
    parents: tuple[str, ...]
    weight: float


def _records(id: str, weight: str) -> Callable[[bytes], Sequence[Any]]:
    read = msgspec.json.Decoder(dict[str, Any]).decode_lines

    def records(lines: bytes) -> list[_Record]:
        return [_Record(row, row.pop(id, ""), (), _weight(row.pop(weight, None))) for row in read(lines)]

    return records


def _weight(value: Any) -> float:
    """Raises TypeError for what is no number."""
    if value is None or value == "":
        return 1.0
    if type(value) not in (int, float):
        raise TypeError
    return float(value)
