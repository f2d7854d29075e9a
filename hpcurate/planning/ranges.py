"""Hash ranges: which keys make one shard of a group stage. Pure.

A range is halved until it fits the bounds. Whether it is depends on its own rows alone: as the input grows, a range
without new rows stays as it is, and nothing has to be known of the ranges that there were before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from hpcurate.planning.slicing import LEAST_SHARDS, Slicing
from hpcurate.store.order import BUCKETS, Order

__all__ = ["HashRange", "hash_ranges"]

WIDEST = BUCKETS // LEAST_SHARDS
"""Buckets of a range that has more rows than one call takes: then there is work for so many workers."""


class HashRange(msgspec.Struct, frozen=True):
    """Keys whose hashes are in these buckets."""

    buckets: range
    rows: int
    weight: float


def hash_ranges(orders: Iterable[Order], slicing: Slicing) -> list[HashRange]:
    """The ranges of sorted shards of these orders; those without rows are left out.

    A range of one bucket is never cut, however heavy it is.
    """
    rows, weights = [0] * BUCKETS, [0.0] * BUCKETS
    for order in orders:
        for bucket, count, weight in zip(order.buckets, order.rows, order.weights, strict=True):
            rows[bucket] += count
            weights[bucket] += weight
    return list(_Halving(rows, weights, slicing).of(range(BUCKETS)))


class _Halving:
    def __init__(self, rows: Sequence[int], weights: Sequence[float], slicing: Slicing) -> None:
        self._rows, self._weights, self._slicing = [0, *accumulate(rows)], weights, slicing

    def of(self, buckets: range) -> Iterator[HashRange]:
        """The ranges that these buckets make."""
        weight = round(math.fsum(self._weights[buckets.start : buckets.stop]), 6)
        found = HashRange(buckets, self._rows[buckets.stop] - self._rows[buckets.start], weight)
        if len(buckets) == 1 or self._fits(found):
            yield from [found] if found.rows else []
            return
        half = len(buckets) // 2
        yield from self.of(buckets[:half])
        yield from self.of(buckets[half:])

    def _fits(self, found: HashRange) -> bool:
        """Few rows, or few buckets and no more rows than are wanted."""
        few = found.rows <= max(1, self._slicing.together) or len(found.buckets) <= WIDEST
        return found.rows <= 1 or (few and self._slicing.fits(found.rows, found.weight))
