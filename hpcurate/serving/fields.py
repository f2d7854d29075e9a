"""What somebody may give to a request: the fields of its task, and the parameters of the stages. Pure."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec

from hpcurate.command import Command
from hpcurate.docstrings import helps_of, texts_below_fields
from hpcurate.errors import PipelineError
from hpcurate.fields import choices_of
from hpcurate.secrets import is_secret
from hpcurate.serving.selection import Part
from hpcurate.serving.served import Field, Kind
from hpcurate.spec import InputFile, plain_value, type_hints
from hpcurate.stage import Stage, constructor
from hpcurate.stage_process.adjusting import is_quick
from hpcurate.task import File, FileTask, Task

__all__ = ["FILE", "LONG", "SIMPLE", "inputs_of", "is_file", "parameters_of", "without_none"]

FILE = "file"
"""The one input of a task that is a file: it is uploaded."""
OF_THE_ENGINE = frozenset({"id", "parents", "weight"})
"""Fields of every task that nobody has to think of."""
LONG = frozenset({"prompt", "negative_prompt", "text", "question", "description"})
"""Texts that may have several lines."""
PLACES = frozenset({"path", "file", "files", "folder", "output", "url", "server", "target", "options", "argv"})
"""What is called so names places on this machine, servers or programs, or is handed to a library that may take such: a
request may say none of that."""
SIMPLE: dict[Any, Kind] = {str: "text", int: "integer", float: "number", bool: "boolean"}


def inputs_of(task_type: type[Task], suffixes: Sequence[str] = ()) -> tuple[Field, ...]:
    """Fields of a task that somebody gives, those that have to be given first. Of a task that is a file: the file.

    Raises PipelineError for one that names places on this machine.
    """
    if is_file(task_type):
        help = "the file to work on" + (f": {' '.join(suffixes)}" if suffixes else "")
        return (Field(key=FILE, kind="file", help=help, required=True, suffixes=tuple(suffixes)),)
    hints, helps = get_type_hints(task_type), texts_below_fields(task_type)
    own = [one for one in attrs.fields(task_type) if one.init and one.name not in OF_THE_ENGINE]
    named = [one.name for one in own if one.name in PLACES and one.default is attrs.NOTHING]
    if named:
        raise PipelineError(
            f"its input is a {task_type.__qualname__}, which names places on this machine ({', '.join(named)}): a "
            "request cannot give that; serve a pipeline that takes files or rows"
        )
    fields = [
        _field(one.name, hints.get(one.name, Any), _of_attrs(one.default), helps.get(one.name, ""))
        for one in own
        if one.name not in PLACES and _is_plain(hints.get(one.name, Any))
    ]
    return tuple(sorted(fields, key=lambda field: not field.required))


def is_file(task_type: type[Task]) -> bool:
    """Whether a task is a file, and nothing more has to be given."""
    own = {one.name for one in attrs.fields(FileTask)}
    more = (one for one in attrs.fields(task_type) if one.name not in own)
    return issubclass(task_type, FileTask) and all(one.default is not attrs.NOTHING for one in more)


def parameters_of(parts: Sequence[Part], first: str | None = None) -> tuple[Field, ...]:
    """Parameters of all stages on the way, as they are now, those of the stage `first` before the others.

    Left out is what a request may not say: places, secrets, other stages, what never changes a result.
    """
    ordered = sorted(parts, key=lambda part: part.key != first)
    return tuple(field for part in ordered for field in _of_stage(part))


def _of_stage(part: Part) -> list[Field]:
    cls = type(part.stage)
    if issubclass(cls, Command):  # whoever may say what a program is given may say what it does
        return []
    hints, helps, given = type_hints(cls), helps_of(cls), part.stage.arguments()
    found = []
    for name, parameter in constructor(cls).items():
        hint, value = hints.get(name, Any), given.get(name, parameter.default)
        fixed = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name in cls.operational
        if fixed or name in PLACES or is_secret(name) or not _is_plain(hint):
            continue
        try:
            plain = _NONE if value is inspect.Parameter.empty else plain_value(value)
        except PipelineError:  # its default is an object of the class's own
            continue
        if _holds_stage(value):
            continue
        field = _field(f"{part.key}.{name}", hint, plain, helps.get(name, ""))
        quick = part.options.prepare == "threads" and is_quick(cls, name)
        found.append(msgspec.structs.replace(field, quick=quick))
    return found


# -- one field ------------------------------------------------------------------------------------------

_NONE: Any = object()
"""There is no default."""


def _of_attrs(default: Any) -> Any:
    if default is attrs.NOTHING:
        return _NONE
    value = default.factory() if isinstance(default, attrs.Factory) and not default.takes_self else default  # type: ignore[arg-type]
    try:
        return plain_value(value)
    except PipelineError:
        return None


def _field(key: str, hint: Any, default: Any, help: str) -> Field:
    optional, inner = without_none(hint)
    choices = choices_of(hint)
    return Field(
        key=key,
        kind="choice" if choices else _kind(key, inner, default),
        help=help,
        required=default is _NONE,
        default=None if default is _NONE else default,
        choices=choices,
        optional=optional,
    )


def _kind(key: str, hint: Any, default: Any) -> Kind:
    kind = SIMPLE.get(hint)
    if kind is None and hint is Any and type(default) in SIMPLE:
        kind = SIMPLE[type(default)]
    if kind == "text" and key.rpartition(".")[2] in LONG:
        return "long_text"
    return kind or "json"


def without_none(hint: Any) -> tuple[bool, Any]:
    """(whether it may be None, the type beside that; Any where there are several)."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint is None, hint
    inner = [one for one in get_args(hint) if one is not type(None)]
    return len(inner) < len(get_args(hint)), inner[0] if len(inner) == 1 else Any


def _holds_stage(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_stage, value))
    return isinstance(value, Stage) or (isinstance(value, dict) and any(map(_holds_stage, value.values())))


def _is_plain(hint: Any) -> bool:
    """Whether values of a type are data, and no places."""
    if isinstance(hint, type) and issubclass(hint, (InputFile, PurePath, File)):
        return False
    return all(_is_plain(inner) for inner in get_args(hint) if inner is not Ellipsis)
