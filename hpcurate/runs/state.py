"""What a run's state looks like from outside: `summary.json` and the last lines of every call. Pure."""

from __future__ import annotations

import enum

import msgspec

from hpcurate.runs.folded import Folded, GpuSums
from hpcurate.runs.yields import yields_of
from hpcurate.store.stats import Counts, added


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


class StageGpu(msgspec.Struct, frozen=True, kw_only=True):
    """What the GPUs of a stage did over its committed shards."""

    busy: float | None = None
    """Share of the time in which any kernel ran."""
    encoder: float | None = None
    decoder: float | None = None
    memory_mb: float = 0.0
    """Most that was in use on one of them."""
    waited: float = 0.0
    """Share of the time in which `process` waited for `prepare`."""

    @classmethod
    def of(cls, sums: GpuSums) -> StageGpu | None:
        """From the shards that were watched; the longer one was in work, the more it counts."""
        if not sums.shards:
            return None
        both = sums.waiting + sums.working
        return cls(
            busy=sums.busy.mean,
            encoder=sums.encoder.mean,
            decoder=sums.decoder.mean,
            memory_mb=sums.memory_mb,
            waited=round(sums.waiting / both, 4) if both else 0.0,
        )


class StageCounts(Counts, frozen=True, kw_only=True):  # type: ignore[misc]  # only who counts may change what it has
    """One stage over the live set."""

    shards: int | None = None
    """None: not known before the stage above is complete."""
    shards_done: int = 0
    weight: float = 0.0
    """Of all shards that are listed."""
    weight_done: float = 0.0
    """Of those that are committed."""
    gpu: StageGpu | None = None
    """None where nobody saw one."""
    ended: float | None = None
    """When its last shard was done, Unix seconds: for people to read."""
    cpu_seconds: float = 0.0
    """Of cores."""
    peak_memory_mb: float = 0.0
    """Most main memory of a stage process and its children."""
    unmeasured: int = 0
    """Committed shards of which it is not known what their tasks amount to, where it is of others."""

    def progress(self, in_work: float = 0.0) -> float | None:
        """Share of the stage that is done, by weight; None before its shards are known, 1 only once all are committed.

        `in_work`: weight of tasks that have ended in shards that are not committed.
        """
        if self.shards is None or self.shards == self.shards_done:
            return None if self.shards is None else 1.0
        share = (self.weight_done + in_work) / self.weight if self.weight > 0 else self.shards_done / self.shards
        return min(max(0.0, round(share, 4)), 0.9999)

    @property
    def units_in(self) -> int:
        """What the budget counts: tasks, or groups where a stage gets whole ones."""
        return self.groups_in or self.tasks_in

    @property
    def units_failed(self) -> int:
        """Of these. A shard that was given up counted each of its rows as a group, and what became of a retry is known
        of tasks.
        """
        return min(self.groups_failed, self.failed) if self.groups_in else self.failed

    @property
    def lost_everything(self) -> bool:
        """Whether there were tasks, and each of them failed."""
        return self.failed == self.tasks_in > 0

    @classmethod
    def of(cls, shards: int | None, first: Folded, again: Folded | None = None, retried: int = 0) -> StageCounts:
        """Sum of committed shards: of the stage's input, and of those that try its dead letters `again`.

        `retried`: so many of the dead letters are tried again. They were counted as input once, and have not failed.
        """
        second = again or Folded()
        given, done = first.sums, [*first.sums, *second.sums]
        return cls(
            tasks_in=sum(s.tasks_in for s in given),
            tasks_out=sum(s.tasks_out for s in done),
            passed=sum(s.passed for s in done),
            dropped=sum(s.dropped for s in done),
            not_returned=sum(s.not_returned for s in done),
            failed=sum(s.failed for s in done) - retried,
            groups_in=sum(s.groups_in for s in given),
            groups_failed=sum(s.groups_failed for s in done) - sum(s.groups_in for s in second.sums),
            shards=shards,
            shards_done=first.shards + second.shards,
            seconds=round(sum(s.seconds for s in done), 3),
            gpu=StageGpu.of(first.gpu + second.gpu),
            ended=max((s.ended for s in done if s.ended is not None), default=None),
            cpu_seconds=round(sum(s.cpu_seconds for s in done), 3),
            peak_memory_mb=max((s.peak_memory_mb for s in done), default=0.0),
            logged=added(s.logged for s in done if s.logged),
            **yields_of(first, second),
        )
