"""Which lines of a shard list still stand: their inputs are what is committed upstream. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from hpcurate.store.lists import Input, ShardLine

Key = tuple[str, str, str]
"""A committed attempt: stage folder, shard, nonce."""
NOTHING = ("", "", "", 0)
Taken = tuple[int, int, ShardLine]
"""Rows [lo, hi) of a shard, and the line that has them."""


class Standing:
    """Lines whose inputs are committed upstream as they say; no two have a row in common."""

    def __init__(self, sizes: Mapping[Key, int]) -> None:
        self._sizes = sizes
        """Committed attempt → its rows."""
        self._taken: dict[Key, list[Taken]] = {}

    def add(self, line: ShardLine) -> bool:
        """Whether the line stands beside those before it; then it is one of them.

        One of a list of retries stands on what it retries: the inputs of that do, too.
        """
        rows = line.retries or line.inputs
        for number, found in enumerate(rows):
            if not self._take(found, line):
                for before in rows[:number]:
                    self._taken[_key(before)].remove((before.lo, before.hi, line))
                return False
        return True

    @property
    def complete(self) -> bool:
        """Whether the lines have every row. None is there twice, so that counting is enough."""
        rows = sum(hi - lo for taken in self._taken.values() for lo, hi, _ in taken)
        return rows == sum(self._sizes.values())

    def pieces(self, key: Key, size: int) -> Iterator[tuple[int, int, ShardLine | None]]:
        """All rows of a shard of that size in order, as ranges: those that a line has, and those that none has."""
        free = 0
        for lo, hi, line in self._taken.get(key, ()):
            if free < lo:
                yield free, lo, None
            yield lo, hi, line
            free = hi
        if free < size:
            yield free, size, None

    def _take(self, found: Input, line: ShardLine) -> bool:
        key = _key(found)
        if not 0 <= found.lo < found.hi <= self._sizes.get(key, 0):
            return False
        taken = self._taken.setdefault(key, [])
        place = len(taken) if not taken or taken[-1][1] <= found.lo else bisect_left(taken, found.lo, key=itemgetter(0))
        if (place and taken[place - 1][1] > found.lo) or (place < len(taken) and taken[place][0] < found.hi):
            return False
        taken.insert(place, (found.lo, found.hi, line))
        return True


def cover(lines: Iterable[ShardLine], sizes: Mapping[Key, int]) -> bool:
    """Whether the lines have every row of these attempts once, and no other row (I10)."""
    standing = Standing(sizes)
    return all(standing.add(line) for line in lines) and standing.complete


def cover_in_order(lines: Iterable[ShardLine], shards: Iterable[tuple[str, str, str, int]]) -> bool:
    """Whether the lines have every row of these attempts in their order, as a list does that was cut once.

    Holds nothing; False says only that it has to be looked at with `cover`. `shards`: stage folder, shard, nonce, rows.
    """
    rows = (shard for shard in shards if shard[3])
    stage, shard, nonce, size = now = next(rows, NOTHING)
    free = 0
    for found in (one for line in lines for one in line.retries or line.inputs):
        if (found.stage, found.shard, found.nonce, found.lo) != (
            stage,
            shard,
            nonce,
            free,
        ) or not free < found.hi <= size:
            return False
        free = found.hi
        if free == size:
            stage, shard, nonce, size = now = next(rows, NOTHING)
            free = 0
    return now is NOTHING and free == 0


def _key(found: Input) -> Key:
    return found.stage, found.shard, found.nonce
