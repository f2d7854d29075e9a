"""What a worker or a driver does while the store fails: it waits, longer each time, and leaves in the end (I14)."""

from __future__ import annotations

from typing import Callable

from hpcurate.system.clock import Clock, growing

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PATIENCE_S = 1800.0
"""So long it waits for the store, all pauses since something worked together."""
_STEP_S = 0.5


class Patience:
    """Of one slot of a worker, or of a driver. Only a commit shows that the store works: a full one lists and reads.

    `leaving`: whether it is to leave at once. `stays`: whether there is a reason to wait until that, however long it
    takes: a finished attempt.
    """

    def __init__(self, clock: Clock, leaving: Callable[[], bool], stays: Callable[[], bool] = lambda: False) -> None:
        self._clock, self._leaving, self._stays = clock, leaving, stays
        self._waited, self.failed = 0.0, ""
        """What failed last; empty while nothing does."""
        self._pauses = growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    @property
    def over(self) -> bool:
        """Whether it has waited for too long."""
        return self._waited >= PATIENCE_S and not self._stays()

    def pause(self, failure: object) -> bool:
        """Wait after a failure of the store: True if it is to be tried again, False if the worker is to leave."""
        self.failed = str(failure)
        if not self.over:
            self._wait(next(self._pauses))
        return not (self.over or self._leaving())

    def _wait(self, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        while not self._leaving() and (left := end - self._clock.monotonic()) > 0:
            step = min(_STEP_S, left)
            self._clock.sleep(step)
            self._waited += step

    def worked(self) -> None:
        """A shard was committed, or a driver's step went through."""
        self._waited, self.failed = 0.0, ""
        self._pauses = growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    def __str__(self) -> str:
        return f"{self.failed} (waited for it for {self._waited / 60:.0f} min)"
