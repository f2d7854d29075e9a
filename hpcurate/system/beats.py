"""Signs of life: a counter that somebody raises in a thread of its own."""

from __future__ import annotations

from typing import Callable, Optional

from hpcurate.system.clock import Clock, Thread

OVERDUE = 3
"""So many times the pause between two beats without one that went through is a gap."""


class Beating:
    """Raises a counter, also while its owner waits for a scheduler, and knows since when that goes through."""

    def __init__(self, clock: Clock, raise_to: Callable[[int], None], every_s: float) -> None:
        self._clock, self._raise_to, self._every_s = clock, raise_to, every_s
        self._look_s = every_s
        self._count, self._stop = 0, clock.event()
        self._last = self._gapless_since = clock.monotonic()
        self._thread: Optional[Thread] = None

    @property
    def gapless_since(self) -> float:
        """Since when our own beats went through; now, while one is overdue (storage away, or ourselves stopped)."""
        now = self._clock.monotonic()
        return now if self._is_overdue(now) else self._gapless_since

    def start(self) -> None:
        """Beat once, then keep beating."""
        self._beat()
        self._thread = self._clock.start(self._run, "sign of life")

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._every_s)

    def _run(self) -> None:
        while not self._stop.wait(self._look_s):
            if self._is_due():
                self._beat()

    def _is_due(self) -> bool:
        """Whether it beats now: as often as is promised, or more often."""
        return True

    def _beat(self) -> None:
        self._count += 1
        try:
            self._raise_to(self._count)
        except OSError:  # storage may be away for a while; the gap is what counts
            return
        now = self._clock.monotonic()
        if self._is_overdue(now):
            self._gapless_since = now
        self._last = now

    def _is_overdue(self, now: float) -> bool:
        return now - self._last > OVERDUE * self._every_s
