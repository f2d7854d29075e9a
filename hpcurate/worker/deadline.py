"""How much time a worker has left, and whether a shard fits into it. Pure but for the clock that is asked."""

from __future__ import annotations

import attrs

from hpcurate.store.lists import ShardLine
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import Clock

PREDICTION_MARGIN = 1.5
"""A shard is begun only if this many times its predicted time is left."""
HAND_BACK_S = 10.0
"""A shard that is not done this long before the end of the wall time is handed back."""


@attrs.define
class Pace:
    """Seconds a unit of weight takes here, learned from finished shards."""

    prior: float = 0.0
    """What it took others, for what is claimed ahead until something is learned here; 0: not known. The first shard of
    a worker is begun whatever it took others: if none began it, it would never be done."""
    seconds: float = attrs.field(default=0.0, init=False)
    weight: float = attrs.field(default=0.0, init=False)

    def learn(self, weight: float, seconds: float) -> None:
        """Add one finished shard."""
        self.weight += weight
        self.seconds += seconds

    def predict(self, weight: float) -> float:
        """Seconds for a shard of `weight`; 0 while nothing is known."""
        return weight * self.seconds / self.weight if self.weight else 0.0


class Deadline:
    """The end of a worker's wall time on its own clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._end = clock, clock.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - self._clock.monotonic()

    @property
    def is_near(self) -> bool:
        """Whether shards in work are to be handed back now."""
        return self.left <= HAND_BACK_S

    def fits(self, line: ShardLine, pace: Pace, before: float = 0.0) -> bool:
        """Whether the shard can be expected to end in time; claimed ahead, after one that has the weight `before`."""
        expected = pace.predict(before + line.weight)
        if before and not pace.weight:
            expected = pace.prior * (before + line.weight)
        return expected * PREDICTION_MARGIN <= self.left


def seconds_left(wall_time: str, job: Allocation, now: float) -> float:
    """Seconds of wall time that Slurm grants the job from `now` on, a stamp; without end, outside Slurm.

    Where Slurm does not name the end (before 22.05), the job is taken to have just begun.
    """
    if job.end_time is not None:
        return job.end_time - now
    if job.job_id is not None:
        from hpcurate.units import minutes

        return minutes(wall_time) * 60 - 5
    return float("inf")
