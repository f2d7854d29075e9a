"""What a run's state looks like from outside: `summary.json` and the last lines of every call. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs

from hpcurate.store.stats import Committed, Counts


class RunState(str, enum.Enum):
    """Where a run stands."""

    RUNNING = "running"
    """Something is queued or alive."""
    COMPLETE = "complete"
    """The live set is committed, dead letters within the budget."""
    FAILED = "failed"
    """More dead letters than the budget allows."""
    INCOMPLETE = "incomplete"
    """Work is left and nothing is queued or alive."""
    STALLED = "stalled"
    """Two rounds of a stage made no progress."""
    CANCELLED = "cancelled"
    """A user stopped it."""

    @property
    def exit_status(self) -> int:
        """0 complete or handed over, 1 otherwise."""
        return 0 if self in (RunState.RUNNING, RunState.COMPLETE) else 1


@attrs.define(frozen=True, kw_only=True)
class StageCounts(Counts):
    """One stage over the live set."""

    shards: int | None = None
    """None: not known before the stage above is complete."""
    shards_done: int = 0

    @property
    def lost_everything(self) -> bool:
        """Whether there were tasks, and each of them failed."""
        return self.failed == self.tasks_in > 0

    @classmethod
    def of(cls, shards: int | None, done: Sequence[Committed]) -> StageCounts:
        """Sum of committed shards."""
        return cls(
            tasks_in=sum(s.tasks_in for s in done),
            tasks_out=sum(s.tasks_out for s in done),
            passed=sum(s.passed for s in done),
            dropped=sum(s.dropped for s in done),
            not_returned=sum(s.not_returned for s in done),
            failed=sum(s.failed for s in done),
            shards=shards,
            shards_done=len(done),
            seconds=round(sum(s.seconds for s in done), 3),
        )
