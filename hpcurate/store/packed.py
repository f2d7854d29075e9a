"""Many small values in little memory: as text, compressed, about a thousand at a time. Pure.

A committed shard takes 2 kB as an object and some 100 bytes here, a line of a shard list 500 and some 20.
"""

from __future__ import annotations

import itertools
import json
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import msgspec

__all__ = ["BLOCK", "Blocks", "Packed", "blocks", "decoded", "encoded"]

BLOCK = 1000
"""Values that are unpacked at a time."""
FAST = 1
"""What zlib calls its least effort: the next one saves a hundredth."""

T = TypeVar("T")


class Packed(Generic[T]):
    """One value that is rarely looked at. Never changes."""

    __slots__ = ("_data", "_decode")

    def __init__(self, data: bytes, decode: Callable[[bytes], T]) -> None:
        """Of what the value is as text."""
        self._data, self._decode = zlib.compress(data, FAST), decode

    def open(self) -> T:
        """The value: another object each time."""
        return self._decode(zlib.decompress(self._data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)


class Blocks(Sequence[T]):
    """A sequence of which one block at a time is there as objects. To go through it again makes them again."""

    def __init__(self, parts: Sequence[Packed[list[T]]], lengths: Sequence[int]) -> None:
        self._parts, self._lengths, self._ends = parts, lengths, [*itertools.accumulate(lengths)]
        self._last: tuple[int, list[T]] = -1, []
        """Which one was looked into last, and what it has."""

    @classmethod
    def joined(cls, sequences: Sequence[Blocks[T]]) -> Blocks[T]:
        """One after the other."""
        return cls([part for one in sequences for part in one._parts], [n for one in sequences for n in one._lengths])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for part in self._parts:
            yield from part.open()

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [*self][place]
        place = range(len(self))[place]
        block = bisect_right(self._ends, place)
        if block != self._last[0]:
            self._last = block, self._parts[block].open()
        return self._last[1][place - (self._ends[block - 1] if block else 0)]

    def __eq__(self, other: object) -> bool:
        if self is other or (isinstance(other, Blocks) and self._parts == other._parts):
            return True
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_same, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list


def _same(one: object, other: object) -> bool:
    return one == other


def blocks(values: Iterable[T], most: int = BLOCK) -> Iterator[list[T]]:
    """So many at a time."""
    left = iter(values)
    while block := list(itertools.islice(left, most)):
        yield block


def encoded(value: Any) -> bytes:
    """As JSON. By json where names and reasons hold bytes that are no text, which msgspec refuses."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def decoded(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """What `encoded` made. Raises msgspec.MsgspecError, ValueError."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(data), decoder.type)
