"""Which parameters are results of other stages, and whether they can be: when a pipeline is built. Pure."""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin

import attrs
import msgspec

from hpcurate.command import Command
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import choices_of, suggestion
from hpcurate.members import stages_in
from hpcurate.planning.results import FILES, KINDS, PlannedResult, fits, kind_of
from hpcurate.results import Place, Result, results_in
from hpcurate.spec import type_hints
from hpcurate.stage import Stage, constructor, members
from hpcurate.task import File, Task

__all__ = ["Wanted", "planned", "wanted"]


class Wanted(msgspec.Struct, frozen=True):
    """A parameter of a stage that is a result."""

    key: str
    result: Result
    hint: Any
    default: str | None


def wanted(name: str, stage: Stage[Any, Any], names: Sequence[str]) -> list[Wanted]:
    """All parameters of a stage that are results, those of members of a chain included. Raises ConfigError.

    `names`: the stages of the pipeline.
    """
    found: list[Wanted] = []
    for one in stages_in(stage):
        of_class = f"stages.{name}" if one is stage else f"stages.{name}.{type(one).__qualname__}"
        for parameter, value in one.arguments().items():
            found += _wanted_of(one, f"{of_class}.{parameter}", parameter, value)
    for each in found:
        if each.result.stage not in names:
            others = [other for other in names if other != name]
            raise ConfigError(
                f"{each.key}: {each.result}: there is no stage {each.result.stage!r}; "
                f"{suggestion(each.result.stage, others)}"
            )
    return found


def _wanted_of(one: Stage[Any, Any], key: str, parameter: str, value: Any) -> list[Wanted]:
    hint, signature = type_hints(type(one)).get(parameter, Any), constructor(type(one)).get(parameter)
    if isinstance(one, Command) and parameter in ("argv", "variables"):
        hint = dict[str, str] if parameter == "variables" else list[str]
    default = inspect.Parameter.empty if signature is None else signature.default
    try:
        results = list(results_in(value))
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    return [
        Wanted(f"{key}{_shown(place)}", result, _inner(hint, place), None if place else _as_json(default))
        for place, result in results
    ]


def _shown(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)


def _as_json(default: Any) -> str | None:
    if default is inspect.Parameter.empty:
        return None
    return json.dumps(default, default=str)


def _inner(hint: Any, place: Place) -> Any:
    """The type of what stands there."""
    for step in place:
        inner = get_args(next((one for one in _options(hint) if get_args(one)), Any))
        if isinstance(step, str):
            hint = inner[1] if len(inner) == 2 else Any
        else:
            several = len(inner) > 1 and inner[1] is not Ellipsis and step < len(inner)
            hint = inner[step] if several else inner[0] if inner else Any
    return hint


def planned(each: Wanted, stage: Stage[Any, Any], gives: type[Task]) -> PlannedResult:
    """It, once it is clear that its stage gives it. `gives`: the class of tasks that its stage returns.

    Raises PipelineError.
    """
    name = each.result.stage
    if not stage.gather:
        raise PipelineError(
            f"{each.key}: {each.result}: {name} returns many tasks, and a result is a field of the one task that a "
            f"gather stage returns; put a stage with gather = True behind it"
        )
    path, hint = _value_of_command(each, stage) or _field(each, gives)
    given, taken = kinds_of(hint), kinds_of(each.hint)
    if _all_are(File, hint) and _all_are(PurePath, each.hint):
        given = taken = FILES
    if given is None:
        raise PipelineError(
            f"{each.key}: {each.result}: a {_named(hint)} is no plain value; read the tasks of {name} instead "
            f"(after: [{name}]){_of_file(hint)}"
        )
    if taken is None or (given and taken and not all(fits(kind, taken) for kind in given)):
        raise PipelineError(f"{each.key}: {each.result} is a {_named(hint)}, and the parameter a {_named(each.hint)}")
    return PlannedResult(
        key=each.key,
        stage=name,
        field=each.result.field,
        path=path,
        kinds=given or taken,
        choices=_choices(each.hint),
        default=each.default,
    )


def _of_file(hint: Any) -> str:
    return ", or type the parameter pathlib.Path" if _all_are(File, hint) else ""


Field = tuple[tuple[str, ...], Any]
"""(where it stands in a row, its type)."""


def _value_of_command(each: Wanted, stage: Stage[Any, Any]) -> Field | None:
    """A value that a command declares; None of a stage that is no command."""
    last = members(stage)[-1]
    if not isinstance(last, Command):
        return None
    if each.result.field not in last.declared.values:
        raise PipelineError(
            f"{each.key}: {each.result}: the command {each.result.stage} declares no value {each.result.field!r}; "
            f"{suggestion(each.result.field, last.declared.values)}"
        )
    declared = last.declared.values[each.result.field]
    return ("values", each.result.field), next(one for one, kind in KINDS if kind == declared)


def _field(each: Wanted, gives: type[Task]) -> Field:
    hints = typing.get_type_hints(gives)
    names = [field.name for field in attrs.fields(gives)]
    if each.result.field not in names:
        raise PipelineError(
            f"{each.key}: {each.result}: {each.result.stage} returns a {gives.__qualname__}, which has no field "
            f"{each.result.field!r}; {suggestion(each.result.field, names)}"
        )
    return (each.result.field,), hints.get(each.result.field, Any)


# -- types ------------------------------------------------------------------------------------------

WITH_PATHS = (*KINDS, (PurePath, "str"))
"""A parameter may be one; no row has any."""


def kinds_of(hint: Any) -> tuple[str, ...] | None:
    """What a value of a type may be in JSON; empty: anything; None: it is no plain data. None itself is left out."""
    found: list[str] = []
    for one in _options(hint):
        if one is Any or one is object or isinstance(one, typing.TypeVar):
            return ()
        kinds = _kinds_of_one(one)
        if kinds is None:
            return None
        found += kinds
    return tuple(dict.fromkeys(found))


def _kinds_of_one(hint: Any) -> list[str] | None:
    if get_origin(hint) is typing.Literal:
        return [kind for value in get_args(hint) if (kind := kind_of(value, WITH_PATHS))]
    plain = get_origin(hint) or hint
    if not isinstance(plain, type):
        return None
    if issubclass(plain, enum.Enum):
        return [kind for value in plain if (kind := kind_of(value.value, WITH_PATHS))]
    if issubclass(plain, str) and plain is not str:  # an InputFile: what is in the file counts
        return None
    return next(([kind] for base, kind in WITH_PATHS if issubclass(plain, base)), None)


def _options(hint: Any) -> list[Any]:
    """The types that a union names, without None."""
    if get_origin(hint) in (Union, types.UnionType):
        return [inner for one in get_args(hint) for inner in _options(one)]
    return [] if hint is type(None) else [hint]


def _all_are(base: type, hint: Any) -> bool:
    options = _options(hint)
    return bool(options) and all(isinstance(one, type) and issubclass(one, base) for one in options)


def _choices(hint: Any) -> tuple[Any, ...]:
    for one in _options(hint):
        if isinstance(one, type) and issubclass(one, enum.Enum):
            return tuple(value.value for value in one)
    return choices_of(hint)


def _named(hint: Any) -> str:
    names = [one.__qualname__ if isinstance(one, type) and not get_args(one) else str(one) for one in _options(hint)]
    return " or ".join(names)
