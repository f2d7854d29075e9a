"""Shards of one worker run side by side, but for one that has to run alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpcurate.system.clock import Clock

_LOOK_S = 0.05


class Turns:
    """Who may run now. While one waits to run alone, nobody else begins."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, clock.lock()
        self._running = self._waiting = 0
        self._alone = False

    @property
    def awaited(self) -> bool:
        """Whether somebody waits to run alone: then nobody looks ahead of the turn that it has."""
        with self._lock:
            return self._waiting > 0

    @contextmanager
    def turn(
        self,
        *,
        alone: bool,
        leaving: Callable[[], bool],
        begun: bool = False,
        passed_on: Callable[[], bool] = lambda: False,
    ) -> Iterator[bool]:
        """Wait for a turn, and have it: True; False where the worker is to leave before it came.

        A shard that is `begun` already goes on in the turn of the one before it, which was `passed_on`.
        """
        begun = begun or self._begin(alone, leaving)
        try:
            yield begun
        finally:
            if begun and not passed_on():
                self.end()

    def _begin(self, alone: bool, leaving: Callable[[], bool]) -> bool:
        self._wait(+alone)
        try:
            while not leaving():
                if self._begun(alone):
                    return True
                self._clock.sleep(_LOOK_S)
            return False
        finally:
            self._wait(-alone)

    def _wait(self, more: int) -> None:
        with self._lock:
            self._waiting += more

    def _begun(self, alone: bool) -> bool:
        with self._lock:
            if self._alone or (self._running if alone else self._waiting):
                return False
            self._running, self._alone = self._running + 1, alone
            return True

    def end(self) -> None:
        """Of one turn, at the end of it; and of one that was passed on to a shard that will not have it."""
        with self._lock:
            self._running, self._alone = self._running - 1, False
