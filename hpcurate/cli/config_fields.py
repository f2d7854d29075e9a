"""Fields that can be set, with type, default and help, read from the classes that have them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import attrs
import msgspec

from hpcurate.stage import constructor


class Field(msgspec.Struct, frozen=True):
    """One key."""

    key: str
    kind: str
    default: str
    help: str


def first_line(cls: type) -> str:
    """What its docstring begins with."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def fields_of(cls: type[Any]) -> list[Field]:
    """Fields of an attrs class that can be set; the help stands beside each."""
    return [
        Field(f.name, _kind(f.type), _default(f.default), str(f.metadata.get("help", "")))
        for f in attrs.fields(cls)
        if f.init
    ]


def parameters_of(cls: type[Any]) -> list[Field]:
    """Constructor parameters of a stage; the help stands in `Args:` of its docstring, or of the class's."""
    documented = (cls, inspect.getattr_static(cls, "__init__"))
    helps = {name: help for one in documented for name, help in args_section(inspect.getdoc(one) or "").items()}
    return [
        Field(name, _kind(p.annotation), _default(p.default), helps.get(name, ""))
        for name, p in constructor(cls).items()
    ]


def args_section(doc: str) -> dict[str, str]:
    """Parameter → help, from a docstring's `Args:` section. Pure."""
    _, _, section = doc.partition("Args:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        match = re.fullmatch(r" {4}(\w+): (.*)", line)
        if match:
            name = match[1]
            found[name] = match[2].strip()
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return found


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
