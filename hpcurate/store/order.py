"""The order of a sorted shard: how many of its rows have keys in which part of all hashes, and where these begin.

Written by a sort step beside its rows; a list of a group stage is made from it, and its workers seek by it. Runs in
every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import msgspec

__all__ = ["BITS", "BUCKETS", "ORDER_FILE", "Order", "OrderInWork", "Starts", "bucket_of"]

BITS = 12
BUCKETS = 1 << BITS
"""Parts of equal size of all 64-bit hashes: a stage has so many hash ranges at most."""
ORDER_FILE = "order.json"
"""Beside `tasks.jsonl` of a sorted shard."""


def bucket_of(hashed: int) -> int:
    """In which of them a hash is."""
    return hashed >> (64 - BITS)


class Order(msgspec.Struct, frozen=True):
    """Rows of a sorted shard by bucket, in order; buckets without rows are left out."""

    buckets: list[int]
    rows: list[int]
    """Rows of each bucket."""
    sizes: list[int]
    """Bytes of each."""
    weights: list[float]
    """Of all rows of each."""

    def to_json(self) -> bytes:
        """As it is written."""
        return msgspec.json.encode(self) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Order:
        """As it is read. Raises msgspec.MsgspecError."""
        return msgspec.json.decode(data, type=cls)


class OrderInWork:
    """The order of a shard whose rows are being written, in order."""

    def __init__(self) -> None:
        self._done = Order([], [], [], [])

    def add(self, bucket: int, rows: int, size: int, weight: float) -> None:
        """The rows of the next bucket that has some."""
        self._done.buckets.append(bucket)
        self._done.rows.append(rows)
        self._done.sizes.append(size)
        self._done.weights.append(round(float(weight), 6))

    def done(self) -> Order:
        """Of all rows."""
        return self._done


class Starts:
    """Where the rows of a bucket begin in a sorted shard."""

    def __init__(self, order: Order) -> None:
        self._buckets = order.buckets
        self._rows, self._bytes = [0, *accumulate(order.rows)], [0, *accumulate(order.sizes)]

    def at(self, bucket: int) -> tuple[int, int]:
        """(first row of that bucket or, where it has none, of the next; byte where it begins)."""
        place = bisect_left(self._buckets, bucket)
        return self._rows[place], self._bytes[place]
