"""Slicing: how many rows, in order, are one shard: within the bounds, and few rows shared out evenly. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

LEAST_SHARDS = 64
"""So many shards the rows of a list make at least, if they make as many batches: work for all workers until the last
item. It never depends on how many workers there are: the same rows are the same shards, whoever runs them."""


class Slicing(msgspec.Struct, frozen=True, kw_only=True):
    """How large a shard may be. It acts when a list is made, and does not change the output."""

    tasks: int = 100
    """Most tasks in one shard; 0: no bound."""
    weight: float = 0.0
    """Most weight of a shard of several tasks, in the unit of the tasks' weight; 0: no bound."""
    batch: int = 1
    """Tasks that are in one shard together, as one call takes them; 0: one call takes a whole shard."""

    def fits(self, count: int, weight: float) -> bool:
        """Whether so many tasks of this weight may be in one shard."""
        return not (self.tasks and count > self.tasks) and (not self.weight or weight <= self.weight)

    @property
    def together(self) -> int:
        """`batch`, or as many as may be in one shard."""
        return min(self.batch, self.tasks) if self.tasks else self.batch

    def batches(self, count: int) -> int:
        """That so many tasks make."""
        return math.ceil(count / self.together) if self.together else min(count, 1)


class Load(msgspec.Struct):
    """What is in a shard in the making."""

    count: int = 0
    weight: float = 0.0

    def takes(self, count: int, weight: float, slicing: Slicing) -> bool:
        """Whether so many tasks of this weight may be added."""
        return not self.count or slicing.fits(self.count + count, self.weight + weight)

    def add(self, count: int, weight: float) -> None:
        """Add them."""
        self.count, self.weight = self.count + count, self.weight + weight


def pieces(weights: Sequence[float], slicing: Slicing) -> list[range]:
    """Rows of these weights as the rows of each shard that they make."""
    found = list(_within_bounds(weights, slicing))
    return evenly([weights], slicing)[0] if too_few(len(found), [len(weights)], slicing) else found


def too_few(shards: int, counts: Iterable[int], slicing: Slicing) -> bool:
    """Whether so many shards are too few for runs of so many rows. No shard has rows of two runs."""
    return shards < min(LEAST_SHARDS, sum(map(slicing.batches, counts)))


def evenly(runs: Sequence[Sequence[float]], slicing: Slicing) -> list[list[range]]:
    """Runs of rows of these weights as the rows of each shard: as few as are not `too_few`, of about the same weight.

    A shard ends with a batch, or where a bound asks for it, which makes more of them.
    """
    if not any(map(any, runs)):
        runs = [[1.0] * len(run) for run in runs]
    rest = _Rest(slicing, sum(slicing.batches(len(run)) for run in runs), sum(map(sum, runs)))
    return [list(rest.pieces(run)) for run in runs]


class _Rest:
    """What is not shared out yet, with the shard in the making."""

    def __init__(self, slicing: Slicing, batches: int, weight: float) -> None:
        self._slicing, self._shards, self._weight = slicing, min(LEAST_SHARDS, batches), weight
        self._later = batches
        """Batches of runs that have not begun."""

    def pieces(self, run: Sequence[float]) -> Iterator[range]:
        """The rows of each shard of the next run."""
        self._later -= self._slicing.batches(len(run))
        first, load = 0, Load()
        for row, weight in enumerate(run):
            if not load.takes(1, weight, self._slicing) or self._ends(load, run, row):
                yield range(first, row)
                self._take(load)
                first, load = row, Load()
            load.add(1, weight)
        if load.count:
            yield range(first, len(run))
            self._take(load)

    def _ends(self, load: Load, run: Sequence[float], row: int) -> bool:
        """Whether a shard is best ended before this row: each that is left gets a batch, and about its share."""
        size = self._slicing.together
        if self._shards <= 1 or not load.count or load.count % size:
            return False
        if self._slicing.batches(len(run) - row) + self._later < self._shards:
            return True
        return load.weight + sum(run[row : row + size]) / 2 > self._weight / self._shards

    def _take(self, load: Load) -> None:
        self._shards, self._weight = max(1, self._shards - 1), self._weight - load.weight


def _within_bounds(weights: Iterable[float], slicing: Slicing) -> Iterator[range]:
    first, load = 0, Load()
    for row, weight in enumerate(weights):
        if not load.takes(1, weight, slicing):
            yield range(first, row)
            first, load = row, Load()
        load.add(1, weight)
    if load.count:
        yield range(first, first + load.count)
