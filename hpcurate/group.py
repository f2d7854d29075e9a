"""Stages that get whole groups: all tasks with one key, from one upstream or from several (a join).

Before such a stage runs, a sort step orders what each of its upstreams passed on. Runs in every stage environment:
Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import Any, ClassVar, Optional, TypeVar

import attrs

from hpcurate.errors import PipelineError, StageError
from hpcurate.fields import suggestion
from hpcurate.resources import Resources
from hpcurate.stage import Stage, environment_of
from hpcurate.task import Task

__all__ = ["GroupStage", "Place", "SortRows", "place_of", "shown"]

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)

Place = tuple[int, str]
"""Where a key stands in the order of all keys: (its hash, the key)."""


NEVER_TEXT = {"Int", "Float", "Bool", "None", "List", "VarTuple", "Tuple", "Set", "FrozenSet", "Dict", "Struct"}
"""What a row has as a number, a list or the like."""
LONGEST_SHOWN = 200
"""Characters of a key that are named."""


def place_of(key: Any) -> Place:
    """Place of a key: a 64-bit hash first, so that keys are spread evenly; the same everywhere.

    Raises StageError for what is no text.
    """
    try:
        data = key.encode()
    except AttributeError:
        raise StageError(f"the key is {key!r:.80}, a {type(key).__name__}; a key is text") from None
    except UnicodeEncodeError:  # of an undecodable file name
        data = key.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big"), key


def shown(key: str) -> str:
    """A key as it is named in messages, of heartbeats and between processes: any other one is named differently.

    One that is too long is cut, and what is no UTF-8 is written out.
    """
    data = key.encode("utf-8", "backslashreplace")
    text = data.decode("utf-8")
    if text == key and len(key) <= LONGEST_SHOWN:
        return key
    exact = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{text[:LONGEST_SHOWN]}… ({exact})"


class GroupStage(Stage[In, Out]):
    """Base of stages that get all tasks with one key in one call. Only `process_group` must be written.

    The key is the field that `group_by` names, or what `key(task)` returns. With several upstreams (`after: [a, b]`)
    a group has the tasks of all of them with this key, and also a key that only one of them has is a group; where
    they give different classes of tasks, `In` is the union of these.
    """

    batch_size: ClassVar[int] = 100
    """Groups given to one `process` call at most. If one of them fails, each is tried by itself."""
    group_by: ClassVar[str] = "id"
    """Field of the tasks that is their key."""
    group_most: ClassVar[int] = 1_000_000
    """Tasks of one group at most, as a group is in memory: all those of a larger one are dead letters."""

    def key(self, task: In) -> str:
        """The key of a task. It depends on the task and on the stage's parameters, on nothing else."""
        key: str = getattr(task, self.group_by)
        return key

    def process_group(self, key: str, tasks: list[In]) -> list[Out]:
        """Turn a group into tasks. The order within a group is that of the upstreams, and in each that of its tasks."""
        raise PipelineError(f"{type(self).__qualname__} does not define process_group(self, key, tasks)")

    def process(self, tasks: list[In]) -> list[Out]:
        """Whole groups, one after the other."""
        scope, out = self._current(), list[Out]()
        keys = scope.keys  # not `key(task)` once more: `prepare` may have changed what it depends on
        try:
            for key, group in groupby(tasks, lambda task: keys[id(task)] if id(task) in keys else self.key(task)):
                scope.group = key
                out += self._one(key, list(group))
        finally:
            scope.group = None
        return out

    def _one(self, key: str, tasks: list[In]) -> list[Out]:
        found = self.process_group(key, tasks)
        if not isinstance(found, list):
            raise StageError(f"process_group() returned {found!r:.60}; return a list of tasks, [] if nothing is left")
        return found


class SortRows(Stage[Task, Task]):
    """The step before a group stage, one for each of its upstreams: rows as they are, in the order of their keys.

    `build` puts it there; its shards are run by `stage_process/sort_step.py`.
    """

    version = 1
    batch_size = 1000
    resources = Resources(cpus=1, memory="1GB", time="auto")

    def __init__(self, by: str = "id", grouped: Optional[GroupStage[Any, Any]] = None) -> None:
        """Set the key.

        Args:
            by: field of the tasks that is their key.
            grouped: the stage whose `key` gives it instead.
        """
        self.by, self.grouped = by, grouped
        self.env = None if grouped is None else environment_of(grouped)  # type: ignore[misc]

    def accept(self, given: type[Task]) -> None:
        """The key is a field of the tasks, and may be text."""
        names = [field.name for field in attrs.fields(given)]
        if self.grouped is None and self.by not in names:
            what = f"groups are made by {self.by!r}, and a {given.__qualname__} has no such field"
            raise PipelineError(f"{what}; {suggestion(self.by, names)}")
        if self.grouped is None and not _may_be_text(given, self.by):
            what = f"groups are made by {self.by!r}, which of a {given.__qualname__} is never text, as a key is"
            raise PipelineError(f"{what}; write key(self, task) -> str into the stage, such as str(task.{self.by})")


def _may_be_text(given: type[Task], name: str) -> bool:
    """Whether a field may stand as text in a row."""
    from msgspec import inspect  # only where a pipeline is built

    kind = next(field.type for field in inspect.type_info(given).fields if field.encode_name == name)  # type: ignore[attr-defined]
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(type(one).__name__.removesuffix("Type") not in NEVER_TEXT for one in kinds)
