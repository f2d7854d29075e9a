"""Stages that get whole groups: all tasks with one key, from one upstream or from several (a join).

Before such a stage runs, a sort step orders what each of its upstreams passed on. Runs in every stage environment:
Python 3.9 or newer, attrs, msgspec and the standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, Optional, TypeVar

import attrs

from hpcurate.errors import PipelineError, StageError
from hpcurate.fields import suggestion
from hpcurate.resources import Resources
from hpcurate.stage import Stage, environment_of
from hpcurate.task import Task

__all__ = ["GroupStage", "Place", "SortRows", "in_groups", "place_of"]

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)

Place = tuple[int, str]
"""Where a key stands in the order of all keys: (its hash, the key)."""


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
        try:
            for key, group in groupby(tasks, self.key):
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


def in_groups(stage: Stage[Any, Any], tasks: Iterable[Task]) -> list[Any]:
    """These tasks as a group stage is given them; for any other stage, as they are."""
    if not isinstance(stage, GroupStage):
        return list(tasks)
    placed = [(place_of(stage.key(task)), task) for task in tasks]
    return [task for _, task in sorted(placed, key=itemgetter(0))]
