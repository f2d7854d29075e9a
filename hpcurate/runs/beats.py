"""How often signs of life come, and how long one has stood still by the observer's own clock."""

from __future__ import annotations

from hpcurate.system.clock import Clock

BEAT_S = 2.0
"""How often a driver raises its counters."""
LOOK_S = 3 * BEAT_S
"""How long a single look waits for a counter of another host to move."""


class Stillness:
    """For how long things have been seen unchanged. Times of two machines are never compared."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._moved: set[str] = set()

    def of(self, key: str, value: bytes, asked: float) -> float:
        """Seconds between the first look that saw this value and the one that began at `asked`; 0 for the first."""
        known = self._seen.get(key)
        if known is not None and known[0] == value:
            return asked - known[1]
        self._moved |= {key} if known is not None else set()
        self._seen[key] = (value, self._clock.monotonic())
        return 0.0

    def moved(self, key: str) -> bool:
        """Whether it was ever seen to change."""
        return key in self._moved

    def forget(self, key: str) -> None:
        """What was seen of it is no longer so."""
        self._seen.pop(key, None)
