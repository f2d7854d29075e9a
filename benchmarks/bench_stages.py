"""Tasks and stages that the benchmarks run. In a module of their own, because workers import them by name."""

from __future__ import annotations

import random
import time
from typing import Any

import attrs

from hpcurate import File, GroupStage, Stage, Task


@attrs.define(kw_only=True)
class Record(Task):
    """About as much as a clip carries when nothing heavy is in it."""

    source: str
    start_s: float
    end_s: float
    caption: str | None = None


@attrs.define(kw_only=True)
class Numbered(Task):
    """The same, without numbers that have a fraction."""

    source: str
    start_s: int
    end_s: int
    caption: str | None = None


class _Captions:
    """Fills one field of every record."""

    version = 1
    batch_size = 1000

    def process(self, tasks: list[Any]) -> list[Any]:
        """Change the tasks in place and pass them on."""
        for task in tasks:
            task.caption = f"from {task.start_s:.1f} to {task.end_s:.1f}"
        return tasks


class Caption(_Captions, Stage[Record, Record]):
    """Of records with fractions."""


class CaptionNumbered(_Captions, Stage[Numbered, Numbered]):
    """Of those without."""


@attrs.define(kw_only=True)
class Page(Task):
    """Something that a small file is made of."""

    file: File | None = None


class WriteFile(Stage[Page, Page]):
    """Writes a small file for each task."""

    version = 1
    batch_size = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def process(self, tasks: list[Page]) -> list[Page]:
        """Write, and pass on."""
        for task in tasks:
            task.file = self.file(task, "file.txt")
            with open(task.file, "w") as file:
                file.write(self.text)
        return tasks


@attrs.define(kw_only=True)
class Nap(Task):
    """Something that takes `weight` seconds and no processor."""


@attrs.define(kw_only=True)
class TimedNap(Task):
    """Something that takes `seconds` and no processor, whatever its weight says of that."""

    seconds: float


class Sleep(Stage[TimedNap, TimedNap]):
    """Sleeps as long as each task says."""

    version = 1

    def process(self, tasks: list[TimedNap]) -> list[TimedNap]:
        """Sleep, and pass on."""
        for task in tasks:
            time.sleep(task.seconds)
        return tasks


def skewed_seconds(count: int = 640, total: float = 800.0, longest: float = 10.0) -> list[float]:
    """Log-normal durations, the same every time: a few long ones among many short ones.

    `count` draws, scaled to sum to `total` seconds, then each capped at `longest`.
    """
    chance = random.Random(7)
    draws = [chance.lognormvariate(0, 1.5) for _ in range(count)]
    scale = total / sum(draws)
    return [min(draw * scale, longest) for draw in draws]


class Paced(Stage[Nap, Nap]):
    """Takes a fixed time for each task in `prepare`, and in `process`: the service times of a decoder and a GPU."""

    version = 1
    batch_size = 1

    def __init__(self, prepare_s: float, process_s: float) -> None:
        self.prepare_s, self.process_s = prepare_s, process_s

    def prepare(self, task: Nap) -> None:
        """What a decoder does meanwhile."""
        time.sleep(self.prepare_s)

    def process(self, tasks: list[Nap]) -> list[Nap]:
        """What a GPU does."""
        time.sleep(self.process_s * len(tasks))
        return tasks


@attrs.define(kw_only=True)
class Keyed(Task):
    """A record with a key that others have, too."""

    label: str
    source: str
    start_s: float


@attrs.define(kw_only=True)
class Counted(Task):
    """A key, and how many records have it."""

    label: str
    count: int


class CountKeys(GroupStage[Keyed, Counted]):
    """One task for each key."""

    version = 1
    group_by = "label"

    def process_group(self, key: str, tasks: list[Keyed]) -> list[Counted]:
        """Count them."""
        return [self.child(tasks, Counted, id=key, label=key, count=len(tasks))]
