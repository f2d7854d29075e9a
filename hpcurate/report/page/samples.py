"""Tasks to look at: which of them are shown, fairly over what was kept, dropped and failed. Pure."""

from __future__ import annotations

import enum
import heapq
import zlib
from collections.abc import Iterable, Sequence

import attrs

from hpcurate.report.rows import Plain


class Fate(enum.Enum):
    """What became of a task in the end."""

    KEPT = "kept"
    DROPPED = "dropped"
    FAILED = "failed"


@attrs.define(frozen=True)
class Group:
    """Tasks with the same end."""

    fate: Fate
    stage: str = ""
    """Where it ended; for what was kept, the stage whose rows it is in."""
    reason: str = ""


@attrs.define(frozen=True, kw_only=True)
class Item:
    """One task, with what is known of it."""

    group: Group
    row: Plain
    rank: int
    """By its id alone: among many tasks those with the lowest are a fair sample."""


def rank_of(task: str) -> int:
    """By its id alone: so the sample does not depend on the order of rows or on who made them."""
    return zlib.crc32(task.encode("utf-8", "surrogatepass"))


@attrs.define
class Sample:
    """The `most` items of lowest rank of all that were offered."""

    most: int
    offered: int = 0
    _heap: list[tuple[int, int, Item]] = attrs.field(factory=list)

    def offer(self, group: Group, row: Plain) -> None:
        """Take it if it is among the lowest so far."""
        self.offered += 1
        rank = rank_of(str(row.get("id", "")))
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, (-rank, self.offered, Item(group=group, row=row, rank=rank)))
        elif self._heap and rank < -self._heap[0][0]:
            heapq.heapreplace(self._heap, (-rank, self.offered, Item(group=group, row=row, rank=rank)))

    @property
    def of_kept(self) -> bool:
        """Whether it is one of tasks that were kept."""
        return any(item.group.fate is Fate.KEPT for _, _, item in self._heap[:1])

    def items(self) -> list[Item]:
        """Lowest rank first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


@attrs.define
class Samples:
    """A sample of each group of tasks."""

    most: int
    """Items of a group that are kept in memory."""
    by_group: dict[Group, Sample] = attrs.field(factory=dict)

    def offer(self, group: Group, row: Plain) -> None:
        """A task that ended there."""
        self.by_group.setdefault(group, Sample(self.most)).offer(group, row)

    def chosen(self, most: int) -> list[Item]:
        """At most so many items in all: each group has its share, and what small groups leave goes to the others.

        What was kept comes first.
        """
        samples = sorted(self.by_group.values(), key=lambda sample: not sample.of_kept)
        takes = fair([len(sample.items()) for sample in samples], most)
        return [item for sample, take in zip(samples, takes, strict=True) for item in sample.items()[:take]]

    @property
    def offered(self) -> int:
        """All tasks, those that are not in a sample included."""
        return sum(sample.offered for sample in self.by_group.values())


def fair(there: Sequence[int], most: int) -> list[int]:
    """How many each may have of `most`: all that is there, or as many as any other."""
    takes, left = [0] * len(there), most
    for place in sorted(range(len(there)), key=there.__getitem__):
        waiting = sum(1 for other in range(len(there)) if not takes[other] and there[other])
        takes[place] = min(there[place], -(-left // waiting)) if waiting else 0
        left -= takes[place]
    return takes


def mixed(items: Iterable[Item]) -> list[Item]:
    """One of each group in turn: whoever takes the first n has some of all."""
    queues: dict[Group, list[Item]] = {}
    for item in items:
        queues.setdefault(item.group, []).append(item)
    turns = max((len(queue) for queue in queues.values()), default=0)
    return [queue[turn] for turn in range(turns) for queue in queues.values() if turn < len(queue)]
