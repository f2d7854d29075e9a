"""Failures by name: what there is, how an attempt ends, what a dead letter says. Pure.

The policies stand in one table, `AGAINST`: what an ending counts against. Runs in every stage environment: Python 3.9.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from typing import Any

import attrs

TRACE = 6000
"""Characters at the end of a traceback that a dead letter keeps."""


class FailureKind(str, enum.Enum):
    """What can go wrong, by name. Only the endings of attempts have a policy yet: see `AGAINST`."""

    EXCEPTION = "exception"
    """`prepare` or `process` raised."""
    CRASH = "crash"
    """The stage process died by a signal, or left."""
    OOM = "oom"
    """The kernel or the scheduler killed it for memory."""
    GPU_OOM = "gpu_oom"
    """The framework ran out of GPU memory."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    WALLTIME = "walltime"
    """The job's time ended before one shard could be finished."""
    PREEMPTED = "preempted"
    """The scheduler needed the node for others."""
    NODE = "node"
    """The node failed one of the engine's own checks."""
    SETUP = "setup"
    """`setup` or `setup_on_node` raised."""
    STORE = "store"
    """The engine's own reading or writing of the store failed."""
    LOST = "lost"
    """The worker vanished, and nothing else is known."""
    CANCELLED = "cancelled"
    """A user stopped it."""


class Ending(str, enum.Enum):
    """Why an attempt ended without a commit; the extension of the marker beside its claim."""

    FREE = "free"
    """Handed back: the worker drained, or was preempted."""
    DEAD = "dead"
    """The worker is gone: killed, node lost, lease run out."""
    CRASH = "crash"
    """The stage process died by a signal or left."""
    OOM = "oom"
    """The stage process was killed for memory."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    STORE = "store"
    """The engine's own reading or writing of the store failed."""
    ERROR = "error"
    """The attempt could not be finished (a file left open, a broken row)."""


class Against(enum.Enum):
    """What an ending counts against."""

    NOTHING = "nothing"
    """It says nothing about the work."""
    SHARD = "shard"
    """After some of these the shard's tasks become dead letters."""


AGAINST = {
    Ending.FREE: Against.NOTHING,
    Ending.DEAD: Against.SHARD,
    Ending.CRASH: Against.SHARD,
    Ending.OOM: Against.SHARD,
    Ending.TIMEOUT: Against.SHARD,
    Ending.STORE: Against.NOTHING,
    Ending.ERROR: Against.SHARD,
}
"""The policies: one row for each ending."""


@attrs.define(frozen=True, kw_only=True)
class AttemptEnd:
    """How one attempt of a shard ended."""

    attempt: int
    ending: Ending
    detail: str = ""
    in_flight: tuple[str, ...] = ()
    """Ids of the tasks that were in work."""


@attrs.define(frozen=True)
class Verdict:
    """What the next attempt of a shard does, judged from how the earlier ones ended."""

    isolate: bool = False
    """One task at a time, so that a crash names its task."""
    poison: dict[str, str] = attrs.field(factory=dict)
    """Tasks that become dead letters untried, and why."""
    exhausted: str = ""
    """If set, all tasks of the shard become dead letters: the reason."""


def judge(history: Iterable[AttemptEnd], attempts: int) -> Verdict:
    """Retry, isolate or give up. Pure.

    A crash with one task in flight makes that task poison. Attempts that named a culprit do not count
    towards `attempts`, so that a shard with several poison tasks still passes its good ones on.
    """
    poison: dict[str, str] = {}
    counted = 0
    for end in history:
        if AGAINST[end.ending] is Against.NOTHING:
            continue
        if len(end.in_flight) == 1:
            poison[end.in_flight[0]] = end.detail or f"its stage process ended: {end.ending.value}"
        else:
            counted += 1
    exhausted = f"{counted} attempts ended without a result" if counted >= attempts else ""
    return Verdict(isolate=counted > 0 or bool(poison), poison=poison, exhausted=exhausted)


@attrs.define(frozen=True, kw_only=True)
class DeadLetter:
    """A task that failed for good: a row of `failed.jsonl`."""

    id: str
    stage: str
    """Stage, or the member of a chain, that failed."""
    error: str
    """Type of the exception, `crash`, or `exhausted`."""
    message: str
    traceback: str = ""
    task: dict[str, Any] | None = None
    """The task's row; None where no row can hold it."""

    def line(self) -> bytes:
        """One line of JSON, with its end."""
        return json.dumps(attrs.asdict(self), separators=(",", ":")).encode() + b"\n"
