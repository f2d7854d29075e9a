"""Failures by name: what there is, how an attempt ends, what a dead letter says. Pure.

The policies stand in one table, `AGAINST`: what an ending counts against. Runs in every stage environment: Python 3.9.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Optional

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
    """Why an attempt ended without a commit; the extension of the marker beside its claim. Of two, the earlier here."""

    OOM = "oom"
    """The stage process, or its whole job, was killed for memory."""
    CRASH = "crash"
    """The stage process died by a signal or left."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    ERROR = "error"
    """The attempt could not be finished (a file left open, a broken row)."""
    STORE = "store"
    """The engine's own reading or writing of the store failed."""
    FREE = "free"
    """Handed back: the worker drained, or was preempted."""
    DEAD = "dead"
    """Its worker was seen gone on its own machine: it died there, and why is not known."""
    LOST = "lost"
    """Its round was declared over, or its worker's heartbeat stood still: nothing else is known."""


class Against(enum.Enum):
    """What an ending counts against."""

    NOTHING = "nothing"
    """It says nothing about the work."""
    TASK = "task"
    """A task that was in work alone at `DEATHS_ALONE` of these becomes a dead letter; never the others of its shard."""
    SHARD = "shard"
    """A task that was in work alone becomes a dead letter; after some that name none, all tasks of the shard do."""


DEATHS_ALONE = 2
"""So many workers that died with the same task alone in work are no coincidence."""

AGAINST = {
    Ending.OOM: Against.SHARD,
    Ending.CRASH: Against.SHARD,
    Ending.TIMEOUT: Against.SHARD,
    Ending.ERROR: Against.SHARD,
    Ending.STORE: Against.NOTHING,
    Ending.FREE: Against.NOTHING,
    Ending.DEAD: Against.TASK,
    Ending.LOST: Against.NOTHING,
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
    shared: bool = False
    """Its process, or its claim alone, was shared with the shard before or after it: that blames neither."""


def concluded(alive: Optional[bool], *, round_over: bool, lease_over: bool) -> Optional[Ending]:
    """As what an attempt without a marker has ended; None while it may be in work, and attempt n+1 may not begin. Pure.

    `alive` is what is seen of its process: None where only the scheduler or a heartbeat can answer. A process that is
    seen alive outweighs a round that was declared over; a heartbeat that stands still does not wait for it.
    """
    if alive is False:
        return Ending.DEAD
    return Ending.LOST if lease_over or (round_over and alive is None) else None


def explained(
    end: AttemptEnd, said: Optional[Ending], job: str, in_flight: Optional[tuple[str, ...]], ahead: bool = False
) -> AttemptEnd:
    """An attempt that ended without a marker, in the light of what is known of its whole job. Pure.

    `said` is the scheduler's word, which outweighs what was merely seen; `in_flight` the task that was alone in work,
    () if the attempt had noted that nothing was, None if it noted nothing. Who was claimed `ahead` and noted nothing
    may never have begun.
    """
    end = attrs.evolve(end, shared=ahead and in_flight is None)
    if in_flight == ():
        return attrs.evolve(end, ending=Ending.FREE, detail="nothing of it was in work when its worker ended")
    in_flight = in_flight or ()
    if said is None:
        return attrs.evolve(end, in_flight=in_flight)
    how = "ran out of memory" if said is Ending.OOM else f"ended: {said.value}"
    detail = f"the scheduler says that job {job} {how}"
    return attrs.evolve(end, ending=said, detail=detail, in_flight=in_flight)


@attrs.define(frozen=True)
class Verdict:
    """What the next attempt of a shard does, judged from how the earlier ones ended."""

    isolate: bool = False
    """One task at a time, so that a crash names its task."""
    alone: bool = False
    """Nothing else runs in its worker meanwhile, so that the death of the whole worker names its task, too."""
    poison: dict[str, str] = attrs.field(factory=dict)
    """Tasks that become dead letters untried, and why."""
    exhausted: str = ""
    """If set, all tasks of the shard become dead letters: the reason."""


def judge(history: Iterable[AttemptEnd], attempts: int) -> Verdict:
    """Retry, isolate or give up. Pure.

    An ending with one task in flight blames that task, at once or the second time. Endings that blame nobody count
    towards `attempts` if they are evidence against the shard; so a shard with several poison tasks still passes its
    good ones on, and the mere death of workers never condemns a shard. An ending that was shared with another shard
    blames nobody and does not count: either may have been the cause, so both run one task at a time, and share no more.
    """
    counted = [end for end in history if AGAINST[end.ending] is not Against.NOTHING]
    own = [end for end in counted if not end.shared]
    unnamed = [end for end in own if len(end.in_flight) != 1 and AGAINST[end.ending] is Against.SHARD]
    return Verdict(
        isolate=bool(counted),
        alone=any(end.ending in _OF_WHOLE_WORKERS for end in counted),
        poison=_poison([end for end in own if len(end.in_flight) == 1]),
        exhausted=_exhausted(unnamed) if len(unnamed) >= attempts else "",
    )


_OF_WHOLE_WORKERS = frozenset([Ending.DEAD, Ending.OOM])
"""May be the doing of whatever else ran in the worker."""


def _poison(alone: list[AttemptEnd]) -> dict[str, str]:
    """Task → why it is to blame, from the endings with one task in flight."""
    found: dict[str, str] = {}
    deaths: Counter[str] = Counter()
    for end in alone:
        task = end.in_flight[0]
        if AGAINST[end.ending] is Against.SHARD:
            found[task] = _why(end)
        else:
            deaths[task] += 1
    why = "its worker was killed {} times while this task alone was in work; by what is not known"
    return {**{task: why.format(n) for task, n in deaths.items() if n >= DEATHS_ALONE}, **found}


def _why(end: AttemptEnd) -> str:
    """What a dead letter says of an ending that blames its task."""
    if end.ending is Ending.OOM:
        return f"killed for memory: {end.detail}" if end.detail else "killed for memory"
    return end.detail or f"its stage process ended: {end.ending.value}"


def _exhausted(unnamed: list[AttemptEnd]) -> str:
    kinds = Counter(end.ending.value for end in unnamed)
    last = next((f"; the last: {_why(end)}" for end in reversed(unnamed) if end.detail), "")
    return f"{len(unnamed)} attempts ended without a result ({', '.join(sorted(kinds))}){last}"


@attrs.define(frozen=True, kw_only=True)
class DeadLetter:
    """A task that failed for good: a row of `failed.jsonl`."""

    id: str
    stage: str
    """Stage, or the member of a chain, that failed."""
    error: str
    """Type of the exception, `gpu_oom`, `crash`, or `exhausted`."""
    message: str
    traceback: str = ""
    task: dict[str, Any] | None = None
    """The task's row as it was read."""
    row: int | None = None
    """Which of the shard's input rows that is, from 0; None in the dead letters of earlier releases."""

    def line(self) -> bytes:
        """One line of JSON, with its end."""
        return json.dumps(attrs.asdict(self), separators=(",", ":")).encode() + b"\n"
