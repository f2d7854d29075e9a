"""Shards of one worker run side by side, but for one that has to run alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_S = 0.2


class Turns:
    """Who may run now. While one waits to run alone, nobody else begins."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = self._waiting = 0
        self._alone = False

    @contextmanager
    def turn(self, *, alone: bool, leaving: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a turn, and have it: True; False where the worker is to leave before it came."""
        begun = self._begin(alone, leaving)
        try:
            yield begun
        finally:
            if begun:
                self._end()

    def _begin(self, alone: bool, leaving: Callable[[], bool]) -> bool:
        with self._changed:
            self._waiting += alone
            while (self._alone or (self._running if alone else self._waiting)) and not leaving():
                self._changed.wait(_LOOK_S)
            self._waiting -= alone
            self._changed.notify_all()
            if leaving():
                return False
            self._running, self._alone = self._running + 1, alone
            return True

    def _end(self) -> None:
        with self._changed:
            self._running, self._alone = self._running - 1, False
            self._changed.notify_all()
