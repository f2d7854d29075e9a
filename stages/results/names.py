"""What the result of a task is called in the output: a path without a suffix, made from a pattern. Pure."""

from __future__ import annotations

import os
from string import Formatter
from typing import Any

import attrs

from hpcurate import FileTask, Record, Task
from hpcurate.errors import ConfigError, PipelineError, StageError
from hpcurate.fields import suggestion
from hpcurate.source.parts import output_fields

PATTERN = "{relative}"
"""As `done=` has it: the path relative to the input, `a/b.mp4`."""
LONGEST = 255
"""Bytes of one part of a path on Linux."""


def check_pattern(pattern: str) -> str:
    """The same. Raises ConfigError for what is no pattern."""
    try:
        names = names_in(pattern)
    except ValueError as error:
        raise ConfigError(f"name={pattern}: {error}; expected e.g. {{relative}} or {{relative}}.{{id}}") from None
    if not names or not all(name.isidentifier() for name in names):
        raise ConfigError(f"name={pattern}: expected fields of the task in braces, e.g. {{relative}}.{{id}}")
    return pattern


def check_known(pattern: str, kind: type[Task]) -> None:
    """Raise PipelineError if tasks of the class have no such field. A `Record` may have any value."""
    known = [*output_fields("a", "b"), *attrs.fields_dict(kind)]
    for name in names_in(pattern):
        if name not in known and not issubclass(kind, Record):
            raise PipelineError(
                f"name={pattern}: a {kind.__qualname__} has no field {name!r}; {suggestion(name, known)}"
            )


def names_in(pattern: str) -> list[str]:
    """What stands in braces. Raises ValueError."""
    return [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]


def item_name(task: Task, pattern: str) -> str:
    """The name of a task's result. Raises StageError for one that leads out of the output, or names no file."""
    name = named(task, pattern)
    return checked_path(os.path.normpath(name) if name.startswith("./") else name)


def named(task: Task, pattern: str) -> str:
    """What the pattern says of a task. Raises StageError."""
    values = _values(task)
    source = values.get("source")
    own = output_fields(source if isinstance(source, str) and source else task.id, task.id)
    try:
        return pattern.format(**{**values, **own})
    except (KeyError, ValueError, TypeError) as error:
        raise StageError(f"name={pattern}: task {task.id}: {error}") from None


def likely_name(source: str, pattern: str) -> str:
    """The name of the result of an item of which nothing else is known. Pure."""
    try:
        return item_name(FileTask(id="id", source=source, path=source, size=0, mtime_ns=0), pattern)
    except StageError:
        return source


def checked_path(path: str) -> str:
    """The same. Raises StageError for a path that is absolute, leads upwards or is too long for a file system."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise StageError(
            f"{path!a} is no path below the output: it is absolute, or has an empty part or '..'; "
            "give results another name: name='{id}', or '{name}'"
        )
    if long := next((part for part in parts if len(os.fsencode(part)) > LONGEST), ""):
        raise StageError(f"{long!a} is longer than {LONGEST} bytes; give results another name: name='{{id}}'")
    return path


def _values(task: Task) -> dict[str, Any]:
    """The fields of a task by name; of a `Record` its values, too."""
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(type(task))}
    return {**task.values, **fields} if isinstance(task, Record) else fields
