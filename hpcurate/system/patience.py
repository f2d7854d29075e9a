"""What a worker or a driver does while the store fails: it waits, longer each time, and leaves in the end (I14)."""

from __future__ import annotations

from collections.abc import Callable

from hpcurate.system.clock import Clock, growing

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PATIENCE_S = 1800.0
"""So long it waits for the store, all pauses since something worked together."""
_STEP_S = 0.5


class Patience:
    """Of one slot of a worker, or of a driver. Only a commit shows that the store works: a full one lists and reads."""

    def __init__(self, clock: Clock, leaving: Callable[[], bool]) -> None:
        self._clock, self._leaving = clock, leaving
        self._failures, self._waited, self._last = 0, 0.0, ""
        self._pauses = growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    @property
    def over(self) -> bool:
        """Whether it has waited for too long."""
        return self._waited >= PATIENCE_S

    def pause(self, failure: object) -> bool:
        """Wait after a failure of the store: True if it is to be tried again, False if the worker is to leave."""
        if self.over:
            return False
        self._failures, self._last = self._failures + 1, str(failure)
        end = self._clock.monotonic() + next(self._pauses)
        while not self._leaving() and (left := end - self._clock.monotonic()) > 0:
            step = min(_STEP_S, left)
            self._clock.sleep(step)
            self._waited += step
        return self._waited < PATIENCE_S and not self._leaving()

    def worked(self) -> None:
        """A shard was committed, or a driver's step went through."""
        self._failures, self._waited = 0, 0.0
        self._pauses = growing(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    def __str__(self) -> str:
        return (
            f"the store failed {self._failures} times in a row, and {self._waited / 60:.0f} min of waiting did not "
            f"help; the last: {self._last}"
        )
