"""Values of a task beside the parameters of the stage that judged it: `sharpness 12.3 (min_sharpness 20)`. Pure.

Defaults are read from the run's frozen copy of the code, which is not imported: it is what the stage ran with.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from hpcurate.spec import STAGE, StageSpec

OWN = ("id", "parents")
"""Fields that say which task it is, and nothing about it."""
LEAST, MOST = ("min", "least"), ("max", "most")
BOUNDS = {*LEAST, *MOST, "threshold", "limit"}
"""Words of a parameter's name that say that it bounds a field, and not which."""


@attrs.define(frozen=True)
class Bound:
    """A value of a task, and the parameter that it is compared with."""

    field: str
    value: Any
    parameter: str
    bound: Any

    @property
    def crossed(self) -> bool:
        """Whether the value is on the wrong side, as far as the parameter's name says which that is."""
        words = _words(self.parameter)
        try:
            return bool(words & {*LEAST} and self.value < self.bound) or bool(
                words & {*MOST} and self.value > self.bound
            )
        except TypeError:
            return False


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a stage has set: not there before, or otherwise. None of what is empty."""
    fields = after.items()
    return {k: v for k, v in fields if k not in OWN and v not in (None, "", [], {}) and before.get(k) != v}


def bounds_of(values: Mapping[str, Any], parameters: Mapping[str, Any], reason: str = "") -> tuple[Bound, ...]:
    """Values that a parameter bounds, by their names; those that crossed it where there are any.

    A parameter that is called `threshold` bounds what the reason of the drop names.
    """
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    found = [
        Bound(field, value, name, bound)
        for name, bound in parameters.items()
        if isinstance(bound, int | float) and not isinstance(bound, bool)
        for field, value in numbers.items()
        if _concerns(name, field, reason)
    ]
    return tuple([one for one in found if one.crossed] or found)


def _concerns(parameter: str, field: str, reason: str) -> bool:
    words, of = _words(parameter), _words(field)
    about = words - BOUNDS
    if words == about:
        return False
    return bool(of & _words(reason.lower())) if not about else about <= of or of <= about


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[^a-z0-9]+", name) if word}


# -- parameters -------------------------------------------------------------------------------------


def parameters_of(spec: StageSpec, member: str, code: str) -> dict[str, Any]:
    """Parameters of the member of a stage that goes by that name, with the defaults that the run's code has."""
    name, members = re.sub(r"-\d+$", "", member), list(_members(spec))
    found = next((one for one in members if one.target.rpartition(":")[2] == name), members[0])
    return {**_defaults(found.target, code), **found.parameters}


def _members(spec: StageSpec) -> Iterator[StageSpec]:
    """A stage, or the members of a chain."""
    inner = [one[STAGE] for one in spec.parameters.get("stages", ()) if isinstance(one, dict) and STAGE in one]
    for one in inner:
        yield from _members(StageSpec(one["target"], one["parameters"]))
    if not inner:
        yield spec


def _defaults(target: str, code: str) -> dict[str, Any]:
    module, _, name = target.partition(":")
    with suppress(OSError, SyntaxError, ValueError):
        text = Path(code, *module.split(".")).with_suffix(".py").read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == name.rpartition(".")[2]:
                return dict(_of_constructor(node))
    return {}


def _of_constructor(cls: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for node in cls.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            late = given.args[len(given.args) - len(given.defaults) :] if given.defaults else []
            for argument, value in [
                *zip(late, given.defaults, strict=True),
                *zip(given.kwonlyargs, given.kw_defaults, strict=True),
            ]:
                with suppress(ValueError):
                    yield argument.arg, ast.literal_eval(value) if value is not None else None
