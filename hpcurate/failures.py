"""Failures by name: what there is and what is done about it, how an attempt ends, what a dead letter says. Pure.

The policies stand in one table, `POLICIES`, from which their page is printed; what follows from them for a shard, in
`verdict.py`. Runs in every stage environment: Python 3.9.
"""

from __future__ import annotations

import enum
import json
from typing import Any, Optional

import msgspec

TRACE = 6000
"""Characters at the end of a traceback that a dead letter keeps."""


class FailureKind(str, enum.Enum):
    """What can go wrong, by name. What is done about each stands in `POLICIES`."""

    EXCEPTION = "exception"
    """`prepare` or `process` raised, or what they wrote cannot be kept."""
    CRASH = "crash"
    """The stage process died by a signal, or left."""
    OOM = "oom"
    """There was not enough main memory."""
    GPU_OOM = "gpu_oom"
    """There was not enough memory of the GPU."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    WALLTIME = "walltime"
    """The job's time ended before the shard could be finished."""
    PREEMPTED = "preempted"
    """The scheduler needed the node for others, or queued the job again."""
    NODE = "node"
    """The node failed one of the engine's own checks, or broke down."""
    SETUP = "setup"
    """`setup` or `setup_on_node` raised; or what they made sure of holds no longer."""
    STORE = "store"
    """The engine's own reading or writing of the store failed."""
    LOST = "lost"
    """The worker vanished, and nothing else is known."""
    CANCELLED = "cancelled"
    """A user stopped it."""


class Ending(str, enum.Enum):
    """Why an attempt ended without a commit; the extension of the marker beside its claim. Of two, the earlier here."""

    OOM = "oom"
    """The stage process, or its whole job, ran out of memory."""
    CRASH = "crash"
    """The stage process died by a signal or left."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    ERROR = "error"
    """The attempt could not be finished (a file left open, a broken row)."""
    WALLTIME = "walltime"
    """The time of its job was over."""
    STORE = "store"
    """The engine's own reading or writing of the store failed."""
    FREE = "free"
    """Handed back: the worker drained, or was preempted."""
    DEAD = "dead"
    """Its worker was seen gone on its own machine: it died there, and why is not known."""
    LOST = "lost"
    """Its round was declared over, or its worker's heartbeat stood still: nothing else is known."""

    @property
    def kind(self) -> FailureKind:
        """The failure that it is."""
        return _KINDS.get(self) or FailureKind(self.value)


_KINDS = {Ending.ERROR: FailureKind.EXCEPTION, Ending.FREE: FailureKind.PREEMPTED, Ending.DEAD: FailureKind.LOST}


class Against(str, enum.Enum):
    """What a failure counts against."""

    NOTHING = "nothing"
    """It says nothing about the work."""
    TASK = "task"
    """The task that was in work, never the others of its shard."""
    BATCH = "batch"
    """The tasks that were in work together: fewer at once may do."""
    SHARD = "shard"
    """A task that was in work alone becomes a dead letter; after some that name none, all tasks of the shard do."""
    ROUND = "round"
    """Its shard needs a round that has more of something."""
    NODE = "node"
    """The machine: others do the work."""
    STAGE = "stage"
    """All of its tasks alike."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about one kind of failure: a row of the page about failures, which is printed from these."""

    seen: str
    """How it is noticed."""
    against: Against
    then: str
    """What is done about it."""
    ends: str
    """What it is in the end, where that does not help."""


POLICIES = {
    FailureKind.EXCEPTION: Policy(
        seen="raised by `prepare` or `process`; a row or a file that cannot be kept",
        against=Against.TASK,
        then="the batch is split, so that the others pass; what `retry_on` names is tried `tries` times, with pauses",
        ends="dead letter",
    ),
    FailureKind.CRASH: Policy(
        seen="the stage process died by a signal or left; of a shard that was claimed ahead, too",
        against=Against.SHARD,
        then="one task at a time, so that the culprit is named; then that task once more",
        ends="dead letter after two crashes with the task alone in work",
    ),
    FailureKind.OOM: Policy(
        seen="the control group counts a kill; Slurm says OUT_OF_MEMORY, or `0:9` with nearly all of the memory used; "
        "`MemoryError`; a worker that is told to leave while nearly all is used",
        against=Against.SHARD,
        then="once alone in its worker; then a round with twice the memory, up to `max_memory` and the largest node",
        ends="dead letter with what was used and what it had",
    ),
    FailureKind.GPU_OOM: Policy(
        seen="the framework's own error",
        against=Against.BATCH,
        then="half as many tasks at once, which is remembered",
        ends="dead letter where one task alone does not fit",
    ),
    FailureKind.TIMEOUT: Policy(
        seen="a batch takes longer than `task_timeout`",
        against=Against.TASK,
        then="the stage process writes its stacks and is ended with all that it started; once more alone, in twice the "
        "time",
        ends="dead letter",
    ),
    FailureKind.WALLTIME: Policy(
        seen="the time of the job ends, by its drain or by Slurm's TIMEOUT, and the shard is not finished",
        against=Against.ROUND,
        then="a worker that has more time left; then a round with twice the time, up to `max_time` and the partition's",
        ends="stalled before the third try in vain, with the override that helps",
    ),
    FailureKind.PREEMPTED: Policy(
        seen="a signal to leave; Slurm says PREEMPTED, or runs the job again",
        against=Against.NOTHING,
        then="handed back, and taken up by others",
        ends="-",
    ),
    FailureKind.NODE: Policy(
        seen="no GPU or a bad one, no scratch space, weights that do not verify; NODE_FAIL; jobs that failed before a "
        "worker began, while others of the round did",
        against=Against.NODE,
        then="the node is left out of the run's next rounds until the command is typed again; at most half of them",
        ends="stalled where too few are left",
    ),
    FailureKind.SETUP: Policy(
        seen="`setup` or `setup_on_node` raised; later, `SetupLost`: a server that the stage needs is gone",
        against=Against.STAGE,
        then="another node",
        ends="stalled after a second failure there",
    ),
    FailureKind.STORE: Policy(
        seen="the engine's own reading or writing fails: full, over quota, read-only, no permission, not mounted; the "
        "same errors of a stage, if a test write fails, too; object storage that stays busy or cannot be reached",
        against=Against.NOTHING,
        then="a finished attempt stays, and its commit is tried every 30 s; else handed back, and tried after a pause",
        ends="stalled, with path and number",
    ),
    FailureKind.LOST: Policy(
        seen="the worker is gone, and nothing else is known",
        against=Against.NOTHING,
        then="tried after all other shards, one task at a time where it was seen to die",
        ends="dead letter of a task that was alone in work twice, else stalled",
    ),
    FailureKind.CANCELLED: Policy(
        seen="`hpcurate cancel`, `scancel` of a whole array",
        against=Against.NOTHING,
        then="nothing, until the command is typed again",
        ends="cancelled",
    ),
}
"""The policies: one row for each kind."""

AGAINST = {**{ending: POLICIES[ending.kind].against for ending in Ending}, Ending.ERROR: Against.SHARD}
"""What the ending of an attempt counts against. One that could not be written is no task's own exception; and a death
of which nothing else is known speaks only against a task that was alone in work."""
AGAINST[Ending.DEAD] = Against.TASK


class AttemptEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt of a shard ended."""

    attempt: int
    ending: Ending
    detail: str = ""
    in_flight: tuple[str, ...] = ()
    """Ids of the tasks that were in work."""
    shared: bool = False
    """Its process, or its claim alone, was shared with the shard before or after it: that blames neither."""
    memory_mb: int = 0
    """MiB that its worker had; 0: not known."""
    peak_mb: int = 0
    """MiB that were seen in use, at most; 0: not known."""
    seconds: float = 0.0
    """Time that it had in its job, where that was over; the limit of a batch that took longer."""
    worker: str = ""
    node: str = ""
    moved: bool = False
    """The shard's checkpoints moved on meanwhile: the next attempt has less to do."""
    begun: float = 0.0
    """Unix seconds, for people to read; 0: it was never in work, or that is not known. `ended` likewise."""
    ended: float = 0.0


class JobEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, as its scheduler has it."""

    ending: Optional[Ending] = None
    """None: it failed by itself. Why, its worker has written down, if it began."""
    node: str = ""
    """The first of its nodes, where that may be to blame."""
    node_failed: bool = False
    """The scheduler says that the node broke down."""
    memory_mb: int = 0
    """MiB that it had; 0: not known."""
    peak_mb: int = 0
    """MiB of its largest process, at most; 0: not known."""


class Blame(msgspec.Struct, frozen=True):
    """Why a task becomes a dead letter untried."""

    kind: FailureKind
    why: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker left before its work was done."""

    worker: str
    node: str
    kind: FailureKind
    message: str
    traceback: str = ""


def concluded(alive: Optional[bool], *, round_over: bool, lease_over: bool) -> Optional[Ending]:
    """As what an attempt without a marker has ended; None while it may be in work, and attempt n+1 may not begin. Pure.

    `alive` is what is seen of its process: None where only the scheduler or a heartbeat can answer. A process that is
    seen alive outweighs a round that was declared over; a heartbeat that stands still does not wait for it.
    """
    if alive is False:
        return Ending.DEAD
    return Ending.LOST if lease_over or (round_over and alive is None) else None


def explained(
    end: AttemptEnd, said: Optional[JobEnd], job: str, in_flight: Optional[tuple[str, ...]], ahead: bool = False
) -> AttemptEnd:
    """An attempt that ended without a marker, in the light of what is known of its whole job. Pure.

    `said` is the scheduler's word, which outweighs what was merely seen; `in_flight` the task that was alone in work,
    () if the attempt had noted that nothing was, None if it noted nothing. Who was claimed `ahead` and noted nothing
    may never have begun.
    """
    end = msgspec.structs.replace(end, shared=ahead and in_flight is None)
    if in_flight == ():
        return msgspec.structs.replace(
            end, ending=Ending.FREE, detail="nothing of it was in work when its worker ended"
        )
    in_flight = in_flight or ()
    if said is None or said.ending is None:
        return msgspec.structs.replace(end, in_flight=in_flight)
    how = "ran out of memory" if said.ending is Ending.OOM else f"ended: {said.ending.value}"
    detail = f"the scheduler says that job {job} {how}"
    return msgspec.structs.replace(
        end,
        ending=said.ending,
        detail=detail,
        in_flight=in_flight,
        memory_mb=said.memory_mb or end.memory_mb,
        peak_mb=said.peak_mb or end.peak_mb,
    )


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A task that failed for good: a row of `failed.jsonl`."""

    id: str
    stage: str
    """Stage, or the member of a chain, that failed."""
    kind: str = FailureKind.EXCEPTION.value
    """Name of a `FailureKind`."""
    error: str
    """Type of the exception, or the kind; `exhausted` where no task could be singled out."""
    message: str
    traceback: str = ""
    tries: int = 1
    """How often the task was tried in its last attempt."""
    task: dict[str, Any] | None = None
    """The task's row as it was read."""
    row: int | None = None
    """Which of the shard's input rows that is, from 0; None in the dead letters of earlier releases."""

    def line(self) -> bytes:
        """One line of JSON, with its end."""
        return json.dumps(msgspec.to_builtins(self), separators=(",", ":")).encode() + b"\n"
