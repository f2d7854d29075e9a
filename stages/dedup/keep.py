"""Which of several twins is kept. It never depends on the order in which they arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import attrs

from hpcurate import Task
from hpcurate.errors import ConfigError

T = TypeVar("T")
Keep = Literal["first", "newest", "oldest", "longest"]
_NEEDS: dict[str, str] = {"newest": "mtime_ns", "oldest": "mtime_ns", "longest": "text"}
"""The field of a task that a choice looks at."""
_ORDERS: dict[str, Callable[[Any], Any]] = {
    "first": lambda task: name_of(task),
    "newest": lambda task: -task.mtime_ns,
    "oldest": lambda task: task.mtime_ns,
    "longest": lambda task: -len(task.text),
}


def name_of(task: Task) -> str:
    """What people call it: its `source`, a path, or else its id."""
    source = getattr(task, "source", None)
    return source if isinstance(source, str) and source else task.id


def best(tasks: Sequence[Task], keep: Keep) -> int:
    """Index of the one that is kept; of equals the one with the least name, then the least id. Pure."""
    order = _ORDERS[keep]
    return min(range(len(tasks)), key=lambda n: (order(tasks[n]), name_of(tasks[n]), tasks[n].id))


def check_fields(given: type[Task], keep: Keep, *more: str) -> None:
    """Raise ConfigError if tasks of a class lack the field that `keep` looks at, or one of `more`."""
    has = {field.name for field in attrs.fields(given)}
    for name in (*more, *filter(None, [_NEEDS.get(keep)])):
        if name not in has:
            why = f"keep={keep}" if _NEEDS.get(keep) == name else "finding duplicates"
            raise ConfigError(f"{why} needs the field {name!r}, which {given.__qualname__} does not have")
