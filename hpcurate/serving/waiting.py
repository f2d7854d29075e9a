"""Who waits, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Waiting"]

T = TypeVar("T")


class Waiting(Generic[T]):
    """First come, first served; bounded."""

    def __init__(self, most: int) -> None:
        self._most, self._items = most, dict[str, T]()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return len(self._items) >= self._most

    def add(self, name: str, item: T) -> int:
        """Its place, from 1."""
        self._items[name] = item
        return len(self._items)

    def first(self) -> T | None:
        """The next one, taken out."""
        name = next(iter(self._items), None)
        return None if name is None else self._items.pop(name)

    def remove(self, name: str) -> T | None:
        """It, if it waits."""
        return self._items.pop(name, None)

    def places(self) -> Iterator[tuple[int, T]]:
        """(place, item) of all, as they are now."""
        return enumerate(list(self._items.values()), start=1)
