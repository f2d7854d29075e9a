"""Results: parameters that are a field of the one task that a gather stage returns, `${result:stage.field}`. Pure.

Where a stage is constructed such a parameter is not known yet: it is written down as that text. Among plain parameters
it is `{"$result": {"stage": …, "field": …}}`, and with a `value` once that is known. Runs in every stage environment:
Python 3.9 or newer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Callable, Optional, Union

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["RESULT", "Place", "Result", "is_result", "replaced", "result_of", "results_in", "shown"]

RESULT = "$result"
"""Key under which a result stands among plain parameters."""
_BEGINS = "${result:"
_TEXT = re.compile(r"\$\{result:\s*([^.{}\s]+)\.([^.{}\s]+)\s*\}")


class Result(msgspec.Struct, frozen=True, order=True):
    """A field of the one task that a gather stage returns."""

    stage: str
    field: str

    def __str__(self) -> str:
        return f"{_BEGINS}{self.stage}.{self.field}}}"

    @property
    def plain(self) -> dict[str, Any]:
        """As it stands among plain parameters."""
        return {RESULT: {"stage": self.stage, "field": self.field}}


def result_of(value: object) -> Optional[Result]:
    """The result that a text is; None for any other value. Raises ConfigError for one that is meant as one.

    A text of a class of its own is a value that was read somewhere, whatever it looks like.
    """
    if type(value) is not str or _BEGINS not in value:
        return None
    found = _TEXT.fullmatch(value)
    if found is None:
        raise ConfigError(
            f"{value!r}: expected {_BEGINS}stage.field}} and nothing else, as the whole parameter or as an element of "
            "a list"
        )
    return Result(found[1], found[2])


Place = tuple[Union[str, int], ...]
"""Where in a parameter: keys of mappings, numbers of elements; nothing for the whole."""


def results_in(value: Any, place: Place = ()) -> Iterator[tuple[Place, Result]]:
    """All of a parameter, each with its place. Stages among it are not looked into."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from results_in(inner, (*place, str(name)))
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from results_in(inner, (*place, number))
    else:
        found = result_of(value)
        if found is not None:
            yield place, found


def is_result(value: Any) -> bool:
    """Whether something among plain parameters is a result, known or not."""
    return isinstance(value, dict) and set(value) == {RESULT}


def _read(plain: dict[str, Any]) -> Result:
    return Result(plain[RESULT]["stage"], plain[RESULT]["field"])


def shown(plain: Any) -> Any:
    """Plain parameters as people read them: each result as its value, or, as long as nobody knows it, as written."""
    if is_result(plain):
        return plain[RESULT].get("value", str(_read(plain)))
    if isinstance(plain, dict):
        return {name: shown(inner) for name, inner in plain.items()}
    return [shown(inner) for inner in plain] if isinstance(plain, list) else plain


def replaced(plain: Any, by: Callable[[Result], Any]) -> Any:
    """Plain parameters with each result replaced by what `by` gives for it."""
    if is_result(plain):
        return by(_read(plain))
    if isinstance(plain, dict):
        return {name: replaced(inner, by) for name, inner in plain.items()}
    if isinstance(plain, list):
        return [replaced(inner, by) for inner in plain]
    return plain
