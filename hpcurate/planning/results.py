"""Parameters that are results of other stages: put in when a round is made. Pure.

`planning/wanted.py` finds them, and says what they may be, when a pipeline is built.
"""

from __future__ import annotations

import collections.abc
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hpcurate.results import Result, replaced
from hpcurate.store.layout import content_id

__all__ = ["FILES", "KINDS", "PlannedResult", "digest_of", "fits", "kind_of", "known", "value_of"]


class PlannedResult(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that is a field of the one task that a gather stage returns."""

    key: str
    """The parameter: `stages.prune.threshold`, `stages.prune.argv[2]`."""
    stage: str
    field: str
    path: tuple[str, ...]
    """Where the field stands in a row."""
    kinds: tuple[str, ...] = ()
    """What its value may be: see `KINDS`; empty: anything; `FILES`: the name of a file."""
    choices: tuple[Any, ...] = ()
    """The values that the parameter may have; empty: all of its kind."""
    default: str | None = None
    """What the parameter holds as long as the value is not known, as JSON; None: nothing of its own."""

    @property
    def result(self) -> Result:
        """As it is written."""
        return Result(self.stage, self.field)

    @property
    def is_file(self) -> bool:
        """Whether its value is the name of a file below the store's `stages/`; the parameter is the path."""
        return self.kinds == FILES


FILES = ("file",)
"""What the value of a field typed `File` is."""

KINDS: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "str"),
    (dict, "dict"),
    (collections.abc.Mapping, "dict"),
    (list, "list"),
    (tuple, "list"),
    (set, "list"),
    (collections.abc.Sequence, "list"),
)
"""What a value is in JSON, by its type; the first that fits."""


def kind_of(value: Any, kinds: Iterable[tuple[type, str]] = KINDS) -> str:
    """What a value is in JSON; empty for what is none of it."""
    return next((kind for base, kind in kinds if isinstance(value, base)), "")


def fits(given: str, taken: Sequence[str]) -> bool:
    """Any number is a number with a point, and a number is text where text is expected, as on the command line."""
    return given in taken or (given == "int" and "float" in taken) or (given in ("int", "float") and "str" in taken)


MOST_BYTES = 65_536
"""Of a value as JSON: it stands in the plan of each round, and may be an argument of a program."""


def value_of(one: PlannedResult, row: Mapping[str, Any]) -> Any:
    """The value in the row of the one task. Raises ValueError saying what is wrong with it."""
    value: Any = row
    for step in one.path:
        value = value.get(step) if isinstance(value, Mapping) else None
    kind = kind_of(value)
    if value is None:
        raise ValueError(f"{one.field} is null")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{one.field} is {value}, which is no number to decide by")
    if one.is_file and kind == "str":
        return value
    if not kind or (one.kinds and not fits(kind, one.kinds)):
        raise ValueError(f"{one.field} is {_short(value)}, a {kind or type(value).__name__}, not a {one.kinds[0]}")
    if len(text := json.dumps(value)) > MOST_BYTES:
        raise ValueError(f"{one.field} has {len(text)} bytes, and a result at most {MOST_BYTES}; write a file instead")

    if one.choices and value not in one.choices:
        raise ValueError(f"{one.field} is {_short(value)}, and the parameter is one of {list(one.choices)}")
    return float(value) if kind == "int" and one.kinds == ("float",) else value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def known(parameters: Mapping[str, Any], values: Mapping[Result, Any]) -> dict[str, Any]:
    """Plain parameters of a stage with the values of the results among them."""

    def with_value(result: Result) -> dict[str, Any]:
        ((key, plain),) = result.plain.items()
        return {key: {**plain, "value": values[result]}}

    filled: dict[str, Any] = replaced(dict(parameters), with_value)
    return filled


def digest_of(values: Mapping[Result, Any]) -> str:
    """Names the values of all results of a stage; empty where it has none."""
    parts = [(str(result), json.dumps(value, sort_keys=True)) for result, value in sorted(values.items())]
    return content_id(parts) if parts else ""
