"""How often signs of life come, and how long one has stood still by the observer's own clock."""

from __future__ import annotations

from hpcurate.system.clock import Clock

BEAT_S = 2.0
"""How often a driver raises its counters."""
LOOK_S = 3 * BEAT_S
"""How long a single look waits for a counter of another host to move."""


LONGEST_STEP_S = 30.0
"""So much counts at most of the time between two looks: the observer may have stood still itself. A second answer of a
scheduler is taken for one after this time (`timing.ask_s`)."""


class Stillness:
    """For how long things have been seen unchanged. Times of two machines are never compared."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[bytes, float, float]] = {}
        """Key → the value, when it was last seen, and for how long by then."""
        self._moved: set[str] = set()

    def of(self, key: str, value: bytes, asked: float) -> float:
        """Seconds from the first look that saw this value to the one that began at `asked`; 0 for the first."""
        before, last, still_s = self._seen.get(key, (b"", 0.0, -1.0))
        if still_s < 0 or before != value:
            self._moved |= {key} if still_s >= 0 else set()
            still_s = 0.0
        else:
            still_s += min(max(0.0, asked - last), LONGEST_STEP_S)
        self._seen[key] = (value, self._clock.monotonic(), still_s)
        return still_s

    def moved(self, key: str) -> bool:
        """Whether it was ever seen to change."""
        return key in self._moved

    def forget(self, key: str) -> None:
        """What was seen of it is no longer so."""
        self._seen.pop(key, None)
