"""Texts with places for values: `-i {path} {out.clip}`; `{{` and `}}` are braces. Pure. Python 3.9 or newer."""

from __future__ import annotations

import re
from collections.abc import Callable

from hpcurate.errors import ConfigError

__all__ = ["filled", "names_in"]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)?")


def names_in(text: str) -> tuple[str, ...]:
    """The names that stand in braces, in order. Raises ConfigError for a brace that is none of a placeholder."""
    names: list[str] = []

    def note(name: str) -> str:
        names.append(name)
        return ""

    filled(text, note)
    return tuple(names)


def filled(text: str, value: Callable[[str], str]) -> str:
    """The text with the value of each name. Raises ConfigError as `names_in` does, and what `value` raises."""

    def one(found: re.Match[str]) -> str:
        part, name = found[0], found[1]
        if part in ("{{", "}}"):
            return part[0]
        if name is None or not _NAME.fullmatch(name):
            raise ConfigError(f"{part:.40} is no placeholder such as {{path}}; a brace itself is written twice: {{{{")
        return value(name)

    return _PART.sub(one, text)
