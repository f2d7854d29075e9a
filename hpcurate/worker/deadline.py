"""What a worker has left of its time and memory, and which shards that is enough for.

Pure but for the clock that is asked.
"""

from __future__ import annotations

import math

import attrs
import msgspec

from hpcurate.failures import Ending
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import Clock
from hpcurate.verdict import Allowance, Limits
from hpcurate.worker.hosts import ShardEnded

PREDICTION_MARGIN = 1.5
"""A shard is begun only if this many times its predicted time is left."""
HAND_BACK_S = 10.0
"""A shard that is not done this long before the end of the wall time is handed back."""
FULL = 0.95
"""Who is told to leave while it uses so much of its memory is told because of that."""


@attrs.define
class Pace:
    """Seconds a unit of weight takes here, learned from finished shards."""

    prior: float = 0.0
    """What it took others, until something is learned here; 0: not known."""
    seconds: float = attrs.field(default=0.0, init=False)
    weight: float = attrs.field(default=0.0, init=False)

    def learn(self, weight: float, seconds: float) -> None:
        """Add one finished shard."""
        self.weight += weight
        self.seconds += seconds

    @property
    def seconds_per_weight(self) -> float:
        """What is expected; 0 while nothing is known."""
        return self.seconds / self.weight if self.weight else self.prior


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


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a slot has for the next shard that it claims."""

    limits: Limits = Limits()
    left: float = math.inf
    """Seconds until the end of its wall time."""
    seconds_per_weight: float = 0.0
    """As expected; 0: nothing is known."""
    before: float = 0.0
    """Weight of the shard that is to be finished first."""
    fresh: bool = False
    """It has begun nothing yet: no worker of this round has more time."""

    def takes(self, weight: float, needs: Allowance, *, at_last: bool = False) -> bool:
        """Whether a shard with that weight and these needs is for it; `at_last` of those that do not fit, too. Pure.

        Where none fits, a fresh one tries what it is given: a prediction may be wrong, and what had all the time that
        there is and was not done in it gets a round with more.
        """
        if not self.limits.takes(self._needs(weight, needs)):
            return False
        wanted = max(self._expected(self.before + weight), self._expected(self.before) + needs.seconds)
        return wanted <= self.left or (at_last and self.fresh)

    def _needs(self, weight: float, needs: Allowance) -> Allowance:
        """In a round that has more: also of a shard that was never tried, as it would not end in an ordinary one."""
        if self.limits.here == self.limits.ordinary or not self.limits.ordinary.suffices(needs):
            return needs
        return msgspec.structs.replace(needs, seconds=max(needs.seconds, self._expected(weight)))

    def _expected(self, weight: float) -> float:
        return weight * self.seconds_per_weight * PREDICTION_MARGIN


def told_to_leave(left_s: float, drain_s: float, used_mb: int, memory_mb: int) -> ShardEnded:
    """As what those end that are in work when a worker is told to leave at once. Pure.

    `used_mb`: what its job has in use, of `memory_mb`; 0 where nobody enforces that.
    """
    if left_s <= max(HAND_BACK_S, drain_s / 4):
        return ShardEnded(Ending.WALLTIME, "the time of its job was over")
    if memory_mb and used_mb >= FULL * memory_mb:
        why = f"its job was told to leave while it used {used_mb} of {memory_mb} MB"
        return ShardEnded(Ending.OOM, why, peak_mb=used_mb)
    return ShardEnded(Ending.FREE, "drained")


def seconds_left(wall_time: str, job: Allocation, now: float) -> float:
    """Seconds of wall time that Slurm grants the job from `now` on, a stamp; without end, outside Slurm.

    Where Slurm does not name the end (before 22.05), the job is taken to have just begun.
    """
    if job.end_time is not None:
        return job.end_time - now
    if job.job_id is not None:
        from hpcurate.units import job_minutes

        return job_minutes(wall_time) * 60 - 5
    return float("inf")
