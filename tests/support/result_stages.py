"""Stages of which one decides by what another has returned."""

from __future__ import annotations

import attrs
from unit_stages import Number

from hpcurate import Stage, Task


@attrs.define(kw_only=True)
class Summary(Task):
    """What is known of all numbers."""

    most: float
    count: int = 0
    word: str = "even"
    nothing: float | None = None
    names: list[str] = attrs.field(factory=list)


class Measure(Stage[Number, Summary]):
    """The greatest number, but no more than `most`; `copies` of it."""

    version = 1
    gather = True

    def __init__(self, most: float = 9.0, copies: int = 1) -> None:
        self.most, self.copies = most, copies

    def process(self, tasks: list[Number]) -> list[Summary]:
        """One task, if not asked for others."""
        most = min(self.most, max((task.value for task in tasks), default=0))
        return [self.child(tasks, Summary, most=most, count=len(tasks)) for _ in range(self.copies)]


class Below(Stage[Number, Number]):
    """Keeps what is below a threshold, and says which; fails on 13."""

    version = 1

    def __init__(self, threshold: float = 0.5, levels: list[float] | None = None, word: str = "") -> None:
        self.threshold = threshold

    def process(self, tasks: list[Number]) -> list[Number]:
        """Drops the others."""
        for task in tasks:
            if task.value == 13:
                raise ValueError("thirteen")
            task.story = f"below {self.threshold:g}"
            if task.value >= self.threshold:
                self.drop(task, "too large")
        return [task for task in tasks if task.value < self.threshold]


class NoDefault(Below):
    """Cannot be constructed without its threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold)
