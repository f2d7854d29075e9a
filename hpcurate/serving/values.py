"""What no value of a request may be, whatever its field: nothing but plain data, and nothing that means another. Pure.

A parameter of a configuration may be `${oc.env:NAME}`, `${result:stage.field}`, or a stage or file that stands in it as
a mapping; whoever wrote the configuration may do all that. Whoever sends a request may read no variable of the server's
environment, and construct nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpcurate.results import RESULT
from hpcurate.serving.served import Field
from hpcurate.serving.service import Unfit
from hpcurate.spec import FILE, STAGE

__all__ = ["own_of", "refuse_meant", "why_not_plain"]

DEEPEST = 50
"""Lists and mappings within one another: what reads and compares values calls itself for each."""
BEGINNINGS = ("${oc.env:", "${result:")
"""Of texts that stand for something else."""
KEYS = frozenset({STAGE, FILE, RESULT})
"""Of mappings that do."""


def own_of(values: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Parameters without those that say what is served: however they are written, nothing is to be changed for them."""
    served = {field.key: repr(field.default) for field in fields if not field.required}
    return {key: value for key, value in values.items() if repr(value) != served.get(key)}


def refuse_meant(values: Mapping[str, Any]) -> None:
    """Raise Unfit for parameters that stand for something else than themselves."""
    problems = {key: _MEANT for key, value in values.items() if any(map(_is_meant, _inner(value)))}
    if problems:
        raise Unfit(problems)


_MEANT = f"a request cannot refer to anything: neither {', '.join(BEGINNINGS)} nor {', '.join(sorted(KEYS))}"


def _is_meant(value: Any) -> bool:
    if isinstance(value, str):
        return any(beginning in value for beginning in BEGINNINGS)
    return isinstance(value, Mapping) and not KEYS.isdisjoint(value)


def why_not_plain(value: Any) -> str:
    """What is wrong with a value as plain data; empty if nothing is."""
    for one in _inner(value):
        if one is _TOO_DEEP:
            return f"is nested over {DEEPEST} times"
        if isinstance(one, float) and not math.isfinite(one):
            return f"expected a number, got {one}"
        if isinstance(one, str) and any("\ud800" <= letter <= "\udfff" for letter in one):
            return "expected text, got half of a pair of surrogates"
    return ""


_TOO_DEEP: Any = object()


def _inner(value: Any, depth: int = 0) -> Iterator[Any]:
    """A value and all in it, keys too."""
    yield value if depth <= DEEPEST else _TOO_DEEP
    inner = [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner if depth <= DEEPEST else ():
        yield from _inner(one, depth + 1)
