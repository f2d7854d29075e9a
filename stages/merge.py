"""Branches come together again: tasks with one id from several stages become one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from hpcurate.errors import PipelineError, StageError
from hpcurate.group import GroupStage
from hpcurate.task import Task

BASE = frozenset(["id", "parents", "weight"])
"""Fields of every task, of which that of the first upstream counts."""


class Merge(GroupStage[Task, Task]):
    """One task of all those with the same id, for branches that fill different fields of the same tasks.

    Of each field the value that a branch has set counts: one that differs from the field's default. A task that only
    some branches passed on is merged of these, unless `only_complete`.
    """

    version = 1
    group_by = "id"

    def __init__(self, branches: int = 2, only_complete: bool = False, first_wins: bool = False) -> None:
        """Set the rules.

        Args:
            branches: how many tasks have one id at most, and, with `only_complete`, at least.
            only_complete: drop tasks that are missing in some branch, as if that had been the filter.
            first_wins: where branches set a field differently, take that of the first; else the task is a dead letter.
        """
        if branches < 1:
            raise PipelineError(f"branches: expected 1 or more, got {branches}")
        self.branches, self.only_complete, self.first_wins = branches, only_complete, first_wins

    def process_group(self, key: str, tasks: list[Task]) -> list[Task]:
        """The one task, or none."""
        if len(tasks) > self.branches:
            raise StageError(f"{len(tasks)} tasks have the id {key!r}, and there are {self.branches} branches")
        if self.only_complete and len(tasks) < self.branches:
            for task in tasks:
                self.drop(task, "not in all branches", value=len(tasks), threshold=self.branches)
            return []
        fields = merged(tasks, first_wins=self.first_wins)
        one = self.child(tasks, type(tasks[0]), id=key, **fields)
        one.parents, one.weight = tasks[0].parents, tasks[0].weight
        return [one]


def merged(tasks: Sequence[Task], *, first_wins: bool = False) -> dict[str, Any]:
    """Fields of one task of these, which are of one class. Pure.

    Raises StageError naming the field that two of them set differently.
    """
    found: dict[str, Any] = {}
    for field in attrs.fields(type(tasks[0])):
        if field.name not in BASE:
            found[field.name] = _value(field, [getattr(task, field.name) for task in tasks], first_wins)
    return found


def _value(field: Any, values: Sequence[Any], first_wins: bool) -> Any:
    default = _default(field)
    given = [value for value in values if value != default] or [values[0]]
    odd = next((value for value in given if value != given[0]), None)
    if odd is not None and isinstance(given[0], Mapping) and isinstance(odd, Mapping):
        return _together(field.name, given, first_wins)
    if odd is not None and not first_wins:
        raise StageError(f"branches set {field.name} differently: {given[0]!r:.80} and {odd!r:.80} (first_wins)")
    return given[0]


def _together(name: str, several: Sequence[Mapping[str, Any]], first_wins: bool) -> dict[str, Any]:
    """All entries of mappings, such as scores by name."""
    found: dict[str, Any] = {}
    for one in several:
        for key, value in one.items():
            if not first_wins and found.setdefault(key, value) != value:
                raise StageError(f"branches set {name}[{key!r}] differently: {found[key]!r:.80} and {value!r:.80}")
            found.setdefault(key, value)
    return found


def _default(field: Any) -> Any:
    """A value that nobody has set; NOTHING where every task sets it."""
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return None if field.default.takes_self else field.default.factory()
    return field.default
