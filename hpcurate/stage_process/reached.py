"""How far a shard is as a batch begins, for those who look at the run. Pure; Python 3.9."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Optional

import attrs

from hpcurate.stage_process.messages import Reached
from hpcurate.task import Task


def reached_by(batch: Sequence[Task], done: int, weight: float) -> Optional[Reached]:
    """Where this batch begins after so many tasks of that weight; None for one without tasks."""
    if not batch:
        return None
    return Reached(done=done, weight=weight, name=called(batch[0]), batch=len(batch), weighs=weight_of(batch))


def called(task: Task) -> str:
    """What people call a task: the path of its file if it has one, else its id."""
    fields = {field.name for field in attrs.fields(type(task))}
    names = [getattr(task, name) for name in ("path", "source") if name in fields]
    return next((name for name in names if name and isinstance(name, str)), task.id)


def weight_of(tasks: Sequence[Task]) -> float:
    """All of them; 0 where the stage's `prepare` has made something else of their weights."""
    with suppress(TypeError, ValueError, OverflowError):
        weight = float(sum([task.weight for task in tasks]))
        return weight if math.isfinite(weight) else 0.0
    return 0.0
