"""Fields that can be set, with type, default and help, read from the classes that have them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import attrs
import msgspec

from hpcurate.docstrings import helps_of
from hpcurate.stage import constructor


class Field(msgspec.Struct, frozen=True):
    """One key."""

    key: str
    kind: str
    default: str
    help: str


def fields_of(cls: type[Any]) -> list[Field]:
    """Fields of an attrs class that can be set; the help stands beside each."""
    return [
        Field(f.name, _kind(f.type), _default(f.default), str(f.metadata.get("help", "")))
        for f in attrs.fields(cls)
        if f.init
    ]


def parameters_of(cls: type[Any]) -> list[Field]:
    """Constructor parameters of a stage; the help stands in `Args:` of its docstring, or of the class's."""
    helps = helps_of(cls)
    return [
        Field(name, _kind(p.annotation), _default(p.default), helps.get(name, ""))
        for name, p in constructor(cls).items()
    ]


def _kind(hint: Any) -> str:
    if hint is None or hint is inspect.Parameter.empty:
        return ""
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    return re.sub(r"\b(typing|collections\.abc|hpcurate\.\w+)\.", "", text)


def _default(value: Any) -> str:
    if value in (attrs.NOTHING, inspect.Parameter.empty):
        return "needed"
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        value = value.factory()
    if attrs.has(type(value)):
        return "see below"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
