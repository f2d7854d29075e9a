"""What another tool has not done yet, of any source: by its files, by a list of names, or as a function of yours says.

It is asked in the driver, before anything is submitted or loaded.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from string import Formatter
from typing import Any, NamedTuple

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, option
from hpcurate.objects.address import is_remote
from hpcurate.source.base import Source, hash64
from hpcurate.source.exclude import Exclude
from hpcurate.source.names import calls, wanted
from hpcurate.source.parts import Part, output_fields
from hpcurate.source.several import notes_of, several_in
from hpcurate.system.classes import load_class
from hpcurate.task import Task
from hpcurate.units import plural

__all__ = ["Undone"]

BATCH = 1000
"""Tasks that a function which takes a list is asked about at a time, at most."""
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class Check(NamedTuple):
    """Whether tasks are done."""

    of: Callable[[Sequence[Task]], list[bool]]
    at_once: int = 1
    """Tasks that it is asked about at a time, at most."""
    unused: Callable[[], str] = str
    """What no item is called, once all were asked about; empty if there is nothing to say."""


@attrs.define(frozen=True)
class Undone:
    """What another tool has not done yet: what is done is left out, and counted."""

    source: Source
    done: Any = option(
        NEEDED,
        "path of an item's output, with {relative} {parent} {name} {stem} {id}; @FILE with a name a line; or a "
        "function, also as module:function, of a task, of a list of tasks, or of the fields of a task",
    )
    _ask: Callable[..., Any] | None = None
    """The function, where `done` is only what it is called."""
    left_out: set[int] = attrs.field(factory=set, init=False, eq=False)
    """`hash64` of the ids that the last enumeration left out."""
    _check: Check = attrs.field(init=False, eq=False)
    _ended: list[bool] = attrs.field(factory=list, init=False, eq=False)
    """Not empty once an enumeration came to its end."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_check", self._checked())

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return self.source.task_type

    def identity(self) -> dict[str, Any]:
        """That of the source: what is left out does not change what the others become."""
        return self.source.identity()

    def tasks(self) -> Iterator[Task]:
        """See `Source`. Raises ConfigError where a function of yours fails, naming the task."""
        self.left_out.clear()
        self._ended.clear()
        tasks = self.source.tasks()
        while some := list(itertools.islice(tasks, self._check.at_once)):
            for task, is_done in zip(some, self._check.of(some), strict=True):
                if is_done:
                    self.left_out.add(hash64(task.id))
                else:
                    yield task
        self._ended.append(True)

    def notes(self) -> list[str]:
        """How many were done, also if none was: a word that is misspelt finds nothing. And names that are no item's."""
        done = f"already done: {plural(len(self.left_out), 'item')} ({self._called})"
        all_asked = self._ended and not isinstance(self.source, (Part, Exclude))  # which leave out items themselves
        unused = self._check.unused() if all_asked else ""
        return [*notes_of(self.source), done, *([f"done: {unused}"] if unused else [])]

    @property
    def _called(self) -> str:
        return self.done if isinstance(self.done, str) else getattr(self.done, "__qualname__", repr(self.done))

    def _checked(self) -> Check:
        if self._ask is not None or callable(self.done):
            return of_function(self._called, self._ask or self.done)
        text = str(self.done)
        if text.startswith("@"):
            names, several = wanted(text, "done"), several_in(self.source) is not None
            return Check(lambda tasks: [names.has(calls(task, several)) for task in tasks], unused=names.unused)
        if _FUNCTION.fullmatch(text):
            return of_function(text, _loaded(text))
        return of_pattern(text)


# -- how it is asked --------------------------------------------------------------------------------


def of_pattern(pattern: str) -> Check:
    """By the path of an item's output. Raises ConfigError for what is no pattern."""
    known = output_fields("a/b.mp4", "id")
    try:
        pattern.format(**known)
        usable = any(name for _, name, _, _ in Formatter().parse(pattern)) and not _is_list(pattern)
    except (KeyError, IndexError, ValueError):
        usable = False
    if not usable:
        raise ConfigError(
            f"done={pattern}: expected one path with {', '.join('{' + name + '}' for name in known)}, "
            "e.g. /captions/{relative}.json; @FILE with names; or module:function"
        )

    exists = _in_bucket(pattern) if is_remote(pattern) else _on_disk

    def is_done(task: Task) -> bool:
        return exists(pattern.format(**output_fields(str(getattr(task, "source", task.id)), task.id)))

    return Check(lambda tasks: [is_done(task) for task in tasks])


def _is_list(text: str) -> bool:
    """Several, as `exclude` may have them. Pure."""
    return text.startswith("[") and text.endswith("]")


def _on_disk(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))


def _in_bucket(pattern: str) -> Callable[[str], bool]:
    """What there is, is listed once: a request for each item would take hours."""
    from hpcurate.source.buckets import addresses_below

    there = functools.cache(addresses_below)
    return lambda address: address in there(pattern.partition("{")[0])


def of_function(name: str, function: Callable[..., Any]) -> Check:
    """By a function of a task; of a list of them, if its parameter is annotated so; of fields, if it takes keywords."""
    kind = _kind(name, function)
    if kind is list:
        return Check(lambda tasks: _several(name, tasks, _called(name, tasks, function, list(tasks))), BATCH)
    if kind is dict:
        return Check(lambda tasks: [_one(name, t, _called(name, [t], function, **_fields(t))) for t in tasks])
    return Check(lambda tasks: [_one(name, task, _called(name, [task], function, task)) for task in tasks])


def _kind(name: str, function: Callable[..., Any]) -> type:
    """`list`, `dict` or `Task`: what it takes. Raises ConfigError."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return dict
    needed = [one for one in parameters if one.default is one.empty and one.kind is not one.KEYWORD_ONLY]
    if len(needed) != 1:
        raise ConfigError(
            f"done={name}: expected a function of one task, is_done(task), of a list, is_done(tasks: list[FileTask]), "
            "or of the fields of a task, is_done(path, **fields)"
        )
    annotation = needed[0].annotation
    text = (annotation if isinstance(annotation, str) else str(annotation)).strip("'\"")
    return list if re.match(r"(typing\.|collections\.abc\.|<class ')?(list|List|Sequence)\b", text) else Task


def _fields(task: Task) -> dict[str, Any]:
    """The fields of a task, and `input`: the path of its file, as Kagurazaka calls it."""
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(type(task))}
    return {"input": fields.get("path", fields.get("source")), **fields}


def _called(name: str, tasks: Sequence[Task], function: Callable[..., Any], *given: Any, **fields: Any) -> Any:
    """Raises ConfigError with the task, and the line of the error."""
    try:
        return function(*given, **fields)
    except Exception as error:  # code of the user's
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        raise ConfigError(f"done={name}: {_name(tasks)}: {said}") from None


def _several(name: str, tasks: Sequence[Task], answers: Any) -> list[bool]:
    try:
        found = list(answers)
    except TypeError:
        found = [answers]
    if len(found) != len(tasks):
        raise ConfigError(
            f"done={name}: returned {answers!a:.80} for {_name(tasks)}: expected a list of True or False, one for each"
        )
    return [_one(name, task, answer) for task, answer in zip(tasks, found, strict=True)]


def _one(name: str, task: Task, answer: Any) -> bool:
    if type(answer).__name__ not in ("bool", "bool_"):  # that of numpy
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigError(f"done={name}: returned {answer!a:.80} for {_name([task])}: expected True or False")
    return bool(answer)


def _name(tasks: Sequence[Task]) -> str:
    first = f"{getattr(tasks[0], 'source', tasks[0].id)!a} (id {tasks[0].id!a})"
    return first if len(tasks) == 1 else f"{len(tasks)} tasks from {first} on"


def _loaded(text: str) -> Callable[..., Any]:
    """`module:function`, or a static method, `module:Class.method`."""
    module, _, path = text.partition(":")
    first, *rest = path.split(".")
    found: Any = load_class(f"{module}:{first}", "done")
    for part in rest:
        found = getattr(found, part, None)
    if not callable(found):
        raise ConfigError(f"done={text}: {module} has no function {path}")
    return found  # type: ignore[no-any-return]
