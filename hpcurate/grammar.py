"""Values as they are typed after `key=`: Hydra's grammar reads back what was written, and OmegaConf finds nothing in it
to interpolate. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpcurate.errors import ConfigError

__all__ = ["as_it_is", "quoted", "written"]

_BARE = re.compile(r"[A-Za-z/_][\w/.-]*", re.ASCII)
"""Texts that need no quotes, if they are no words of the grammar."""
_WORDS = frozenset({"null", "true", "false", "inf", "nan"})
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def written(value: Any) -> str:
    """Plain data as the grammar has it. Raises ConfigError for what it has no form for."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        bare = _BARE.fullmatch(value) and value.lower() not in _WORDS
        return value if bare else quoted(as_it_is(value))
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    raise ConfigError(f"expected text, numbers, true, false, null, lists and mappings, not a {type(value).__name__}")


def _key(key: Any) -> str:
    if isinstance(key, str) and _KEY.fullmatch(key) and key.lower() not in _WORDS:
        return key
    raise ConfigError(f"{key!r}: a command line has no form for this key of a mapping: expected letters, digits and _")


def quoted(value: str) -> str:
    """A single-quoted string of the grammar. Backslashes count only before a quote there."""
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + "\\'", value)
    trailing = re.search(r"\\+\Z", escaped)  # `$` would also match before a newline at the end
    return f"'{escaped}{trailing[0] if trailing else ''}'"


def as_it_is(text: str) -> str:
    """Text in which `${` begins no interpolation. Backslashes count only before one."""
    return re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", text)
