"""Which input each task of a batch came from, and where each input ended (invariant I6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

import attrs

from hpcurate.errors import StageError
from hpcurate.task import Task

NOT_RETURNED = "not returned"


@attrs.define(frozen=True)
class Drop:
    """A task that ended on purpose."""

    task: Task
    reason: str
    stage: str
    ancestors: frozenset[str] = frozenset()
    """Ids it descends from within the batch, itself included."""


@attrs.define
class Lineage:
    """Ancestors, within one batch, of every task alive in it."""

    ancestors: dict[str, frozenset[str]]
    """Task id → ids it descends from, itself included."""
    drops: list[Drop] = attrs.field(factory=list)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Lineage:
        """Every input descends from itself."""
        return cls({task.id: frozenset({task.id}) for task in tasks})

    def step(self, stage: str, given: Sequence[Task], returned: Sequence[Task], drops: Sequence[Drop]) -> None:
        """Record what one stage made of `given`.

        Raises StageError for a task out of nowhere, a duplicate id, or one that was dropped and yet passed on.
        """
        known = {task.id: self.ancestors[task.id] for task in given}
        after: dict[str, frozenset[str]] = {}
        used: set[str] = set()
        for task in returned:
            if task.id in after:
                raise StageError(f"{stage} returned two tasks with id {task.id!r}")
            after[task.id] = _ancestors(task, known, stage)
            used.update({task.id} if task.id in known else known.keys() & task.parents)
        dropped = {drop.task.id: drop for drop in reversed(drops)}
        both = dropped.keys() & (used | after.keys())
        if both:
            raise StageError(f"{stage} both dropped and returned task {sorted(both)[0]!r}, or a child of it")
        survived = frozenset().union(*after.values()) if after else frozenset()
        lost = [Drop(task, NOT_RETURNED, stage) for task in given if task.id not in survived and task.id not in dropped]
        for drop in [*reversed(dropped.values()), *lost]:
            self.drops.append(attrs.evolve(drop, ancestors=known.get(drop.task.id, frozenset())))
        self.ancestors = after

    def survivors(self) -> frozenset[str]:
        """Ids, inputs and between, that something alive descends from."""
        return frozenset().union(*self.ancestors.values()) if self.ancestors else frozenset()


def _ancestors(task: Task, known: dict[str, frozenset[str]], stage: str) -> frozenset[str]:
    if task.id in known:
        return known[task.id]
    found: Optional[frozenset[str]] = None
    for parent in task.parents:
        if parent in known:
            found = (found or frozenset()) | known[parent]
    if found is None:
        raise StageError(
            f"{stage} returned task {task.id!r}, which is no input and names no input as its parent; "
            "make new tasks with self.child(parent, …)"
        )
    return found | {task.id}
