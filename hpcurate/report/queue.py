"""What is queued, and why it waits: a scheduler's reasons in words of what to do."""

from __future__ import annotations

from hpcurate.runs.launcher import JobRow, Queue
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import Clock

ADVICE = {
    "Resources": "the nodes it asks for are busy; it would start sooner with smaller resources or a shorter time",
    "Priority": "other jobs come first",
    "Dependency": "a gate that waits for its array, as it should",
    "PartitionTimeLimit": "it asks for more time than the partition allows; lower resources.time, or choose another "
    "partition",
    "ReqNodeNotAvail": "a node it needs is down, drained or reserved",
    "BadConstraints": "no node has what it asks for; change constraint, gres or memory",
    "JobHeldUser": "you held it; release it with scontrol release",
    "JobHeldAdmin": "an administrator held it; ask them",
    "QOSMaxJobsPerUserLimit": "you already run as many jobs as the QOS allows; it starts when one of them ends",
    "AssocGrpCPUMinutesLimit": "the account has used up its hours; choose another account",
    "AssocMaxJobsLimit": "the account already runs as many jobs as it may; it starts when one of them ends",
    "BeginTime": "it was requeued and starts again shortly",
}
"""Slurm's reasons (squeue(1), JOB REASON CODES)."""


def describe(row: JobRow) -> str:
    """State, reason, advice and expected start: `pending, Priority: other jobs come first`. Pure."""
    if row.state != "PENDING":
        return row.state.lower()
    advice = f": {ADVICE[row.reason]}" if row.reason in ADVICE else ""
    start = f"; expected start {row.start}" if row.start else ""
    reason = "" if row.reason in ("", "None") else f", {row.reason}"  # it has just been queued
    return f"pending{reason}{advice}{start}"


class QueueRows:
    """Asks a queue for its rows at most every so often; a question about other jobs is asked at once."""

    def __init__(self, queue: Queue, every_s: float, clock: Clock) -> None:
        self._queue, self._every_s, self._clock = queue, every_s, clock
        self._asked_at, self._asked = float("-inf"), Jobs()
        self._rows: tuple[JobRow, ...] = ()

    def of(self, jobs: Jobs) -> tuple[JobRow, ...]:
        """What there is of the jobs, as of the latest question; nothing where the queue does not answer."""
        now = self._clock.monotonic()
        if jobs != self._asked or now - self._asked_at >= self._every_s:
            self._asked_at, self._asked = now, jobs
            self._rows = tuple(self._queue.rows(jobs) or ())
        return self._rows
