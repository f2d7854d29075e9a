"""The one decision: (pipeline, state of the store, state of the queue) → actions. Pure.

The local driver, a gate and a user who types the command again all call `reconcile`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from hpcurate.planning.budget import Budget
from hpcurate.results import Result
from hpcurate.runs.files_seen import FilesOf
from hpcurate.runs.left import Group, Left
from hpcurate.runs.missing_inputs import MissingInputs
from hpcurate.runs.nodes import Nodes
from hpcurate.runs.state import RunState, StageCounts
from hpcurate.store.rounds import Jobs
from hpcurate.system.processes import ProcessIdentity
from hpcurate.units import plural
from hpcurate.verdict import Allowance

__all__ = [
    "UNDECIDED", "Action", "AskForFiles", "CarryOut", "Decision", "FilesAction", "FreeFiles", "Look", "MakeLists",
    "MarkOver", "NeedFiles", "Phase", "RecordJobs", "Refused", "RoundView", "StageView", "Submit", "Watch",
    "WriteIndex", "reconcile",
]  # fmt: skip

ROUNDS_WITHOUT_PROGRESS = 2
"""So many rounds in a row over the same lists that committed nothing end a stage (I14)."""
MOST_ROUNDS = 20
"""So many rounds over the same lists since the user's latest call end a stage, whatever they committed."""


class Phase(enum.Enum):
    """What is known of a round."""

    SUBMITTING = "submitting"
    """Its ticket is taken, its job not yet written down, and its submitter may be alive."""
    ACTIVE = "active"
    """Queued, running, or its local driver lives."""
    OVER = "over"
    """No worker of it is left."""
    VANISHED = "vanished"
    """Nothing is seen of it, which is no evidence yet: a second look some time later decides."""
    UNKNOWN = "unknown"
    """The scheduler cannot answer. Means wait, never submit (I8)."""


UNDECIDED = (Phase.SUBMITTING, Phase.VANISHED)
"""What does not last: whoever keeps looking sees within a written bound what has become of such a round."""


class RoundView(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a stage, in the light of the queue."""

    number: int
    phase: Phase
    done_before: int
    told_before: int = 0
    """`Left.told` when its ticket was taken."""
    has: Allowance = Allowance()
    exclude: tuple[str, ...] = ()
    """Nodes that were left out."""
    special: str = ""
    """Which shards it is for and why, where it has more than an ordinary round."""
    why: str = ""
    """The phase in words, where more is known than its name."""
    elsewhere: bool = False
    """Its scheduler cannot be asked from here at all: waiting for an answer is useless."""
    jobs: Jobs = Jobs()
    submitter: ProcessIdentity | None = None
    """Process that took its ticket."""
    started: bool = True
    """False where its workers were never written down: its submitter left before that, maybe as the store failed."""
    queue: str | None = None
    """Scheduler that has its jobs; None: they are children of the process that submitted."""
    name: str = ""
    """Unique name of its jobs."""
    run: str = ""
    lists: str = ""
    """Digest of the lists that it worked through; empty: of a time without."""
    cancelled: bool = False
    watched: bool | None = False
    """A gate of this run waits for it, or its driver stays. None: its gate is not seen, which is no evidence yet."""
    jobs_recorded: bool = True
    """False where its jobs were found by name, and nobody has written them down."""
    over_recorded: bool = True
    """False where it is over, and nobody has written that down."""

    @property
    def refused(self) -> bool:
        """Whether the scheduler took no job of it, or no worker was begun: it did not try at all.

        The call that stays ends with its refusal, and a gate tries again until its patience is over. Nor did one whose
        workers were never started.
        """
        return not self.jobs and (self.queue is not None or not self.started)


class Refused(msgspec.Struct, frozen=True):
    """Why a stage may not begin, although all it waits for is complete: a user has to change something."""

    reason: str
    overrides: tuple[str, ...] = ()
    """What the run's command needs so that it helps to type it again."""


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a run, as the store has it."""

    name: str
    ready: bool
    """Everything it reads is complete."""
    listed: bool = False
    """All its shard lists are there."""
    lists: str = ""
    """Digest of the names of its lists in the live set; empty before they are there, and of a complete stage."""
    counts: StageCounts = StageCounts()
    left: Left = Left()
    """Of the shards that are not committed, once a round is over."""
    nodes: Nodes = Nodes()
    rounds: tuple[RoundView, ...] = ()
    forgiven: int = 0
    """Rounds up to this number lie before the user's latest call and are not held against the stage."""
    unindexed: tuple[tuple[str, str], ...] = ()
    """(folder, fan-out folder) whose shards are all committed, its own or of its source, without an index of that."""
    missing: tuple[str, ...] = ()
    """Shards that were committed before and are not listed any more, until a second listing confirms it."""
    blocked: str = ""
    """Why it cannot become ready by itself."""
    refused: Refused | None = None
    inputs_missing: MissingInputs | None = None
    """Of a gather, or of a stage that begins with so many at most; None where there are none."""
    results: Mapping[Result, Any] = MappingProxyType({})
    """Values of the results among its parameters, as far as they are known."""
    files: FilesOf = FilesOf()
    """Of its shards, and of what it reads: freed, needed again, or spare."""

    @property
    def may_go_on(self) -> bool:
        """Whether shards are left, and all rounds are over and written down: how their jobs ended is known now."""
        over = self.phase is Phase.OVER and all(round.over_recorded for round in self.rounds)
        return over and not self.complete

    @property
    def open_round(self) -> RoundView | None:
        """What is waited for: the last round, or, once that is over, an earlier one that is about to be over, too."""
        about = [round for round in self.rounds if round.phase is Phase.VANISHED]
        last = self.rounds[-1] if self.rounds else None
        return about[0] if about and last and last.phase is Phase.OVER else last

    @property
    def phase(self) -> Phase | None:
        """Of that round; None before the first one."""
        return self.open_round.phase if self.open_round else None

    @property
    def complete(self) -> bool:
        """All its shards are committed."""
        return self.ready and self.listed and self.counts.shards_done == self.counts.shards


class RecordJobs(msgspec.Struct, frozen=True):
    """Write down the jobs of a round whose submitter died before it could."""

    stage: str
    round: int
    jobs: Jobs


class MarkOver(msgspec.Struct, frozen=True):
    """Write down that no worker of a round is left."""

    stage: str
    round: int
    jobs: Jobs
    """What it is known of: where others have been written down meanwhile, it is not."""


class WriteIndex(msgspec.Struct, frozen=True):
    """Write the index of what is committed in a fan-out folder."""

    folder: str
    fan: str


class MakeLists(msgspec.Struct, frozen=True):
    """Write the stage's shard lists: all it reads is complete."""

    stage: str


class Submit(msgspec.Struct, frozen=True):
    """Take the ticket of a round and submit it."""

    stage: str
    round: int
    group: Group
    """What it is for."""
    exclude: tuple[str, ...] = ()
    """Nodes that are left out."""


class Watch(msgspec.Struct, frozen=True):
    """Have a gate of this run wait for a round that is queued."""

    stage: str
    round: int
    jobs: Jobs


class FreeFiles(msgspec.Struct, frozen=True):
    """Say that this run needs no more files of a stage but for those of some shards, and free them if nobody does."""

    stage: str
    kept: tuple[str, ...]


class CarryOut(msgspec.Struct, frozen=True):
    """Carry out a decision to free files of a stage, which somebody has left undone."""

    stage: str
    number: int


class NeedFiles(msgspec.Struct, frozen=True):
    """Say once more that files of a stage are needed: only who adds to the log knows what is in it."""

    stage: str


class AskForFiles(msgspec.Struct, frozen=True):
    """Have shards done again for their files, which were freed."""

    stage: str
    shards: tuple[tuple[str, int], ...]
    """And the decision that freed them."""


FilesAction = FreeFiles | CarryOut | NeedFiles | AskForFiles
Action = RecordJobs | MarkOver | WriteIndex | MakeLists | Submit | Watch | FilesAction


class Decision(msgspec.Struct, frozen=True):
    """What to do now, and where the run stands while that is done."""

    actions: tuple[Action, ...]
    state: RunState
    reason: str = ""
    overrides: tuple[str, ...] = ()
    """What the run's command needs so that it helps to type it again."""


class Look(msgspec.Struct, frozen=True):
    """One look at a run: what there is, and what follows from it."""

    views: tuple[StageView, ...]
    decision: Decision


def reconcile(stages: Sequence[StageView], budget: Budget, *, cancelled: bool = False) -> Decision:
    """Decide. `stages` are in topological order. What is only to be written down comes first, whatever the state."""
    decision = _decide(stages, budget, cancelled)
    return msgspec.structs.replace(decision, actions=(*_records(stages), *decision.actions))


def _records(stages: Sequence[StageView]) -> list[Action]:
    """What a look has found out and nobody has written down yet."""
    found: list[Action] = []
    for stage in stages:
        for one in stage.rounds:
            found += [] if one.jobs_recorded else [RecordJobs(stage.name, one.number, one.jobs)]
            found += [] if one.over_recorded else [MarkOver(stage.name, one.number, one.jobs)]
        found += [WriteIndex(folder, fan) for folder, fan in stage.unindexed]
        found += [NeedFiles(stage.name)] if stage.files.unsure else []
        found += [CarryOut(stage.name, number) for number in stage.files.undone]
        found += [AskForFiles(stage.name, stage.files.ask)] if stage.files.ask and not stage.files.undone else []
        found += [] if stage.files.spare is None else [FreeFiles(stage.name, stage.files.spare)]
    return list(dict.fromkeys(found))


def _decide(stages: Sequence[StageView], budget: Budget, cancelled: bool) -> Decision:
    over = _over_budget(stages, budget)
    if over:
        return Decision((), RunState.FAILED, over)
    if all(stage.complete for stage in stages):
        return Decision((), RunState.COMPLETE)
    if cancelled:
        return Decision((), RunState.CANCELLED, "cancelled by the user")
    actions: list[Action] = []
    reasons: list[Decision] = []
    for stage in stages:
        if stage.blocked:
            reasons.append(_nothing(RunState.INCOMPLETE, stage.blocked))
        if stage.refused:
            reasons.append(_nothing(RunState.STALLED, stage.refused.reason, stage.refused.overrides))
        if stage.ready and not stage.complete:
            step = _step(stage)
            if isinstance(step, Decision):
                reasons.append(step)
            else:
                actions.append(step)
    if actions or any(one.state is RunState.RUNNING for one in reasons):
        waiting = "; ".join(one.reason for one in reasons if one.state is RunState.RUNNING)
        return Decision(tuple(actions), RunState.RUNNING, waiting)
    return reasons[0] if reasons else _nothing(RunState.INCOMPLETE, "")


def _nothing(state: RunState, reason: str, overrides: tuple[str, ...] = ()) -> Decision:
    """Nothing to do now, and why."""
    return Decision((), state, reason, overrides)


def _step(stage: StageView) -> Action | Decision:
    """The one next thing for a stage that has work left, or why there is none."""
    if not stage.listed:
        return MakeLists(stage.name)
    if stage.files.differs:
        return _nothing(RunState.STALLED, _differs(stage), (f"rerun={stage.name}",))
    if stage.files.waits:
        return _nothing(RunState.INCOMPLETE, stage.files.waits)
    last, unwritten = stage.open_round, [round for round in stage.rounds if not round.over_recorded]
    if stage.missing and (last is None or last.phase is Phase.OVER):
        return _nothing(RunState.RUNNING, _missing(stage))
    if last is None:
        return Submit(stage.name, 1, Group(_open_shards(stage)), stage.nodes.excluded)
    if last.phase is Phase.OVER and unwritten:  # how its jobs ended is yet to be written down, and read
        number = unwritten[0].number
        return _nothing(
            RunState.RUNNING, f"{stage.name}: round {number} is over; its gate writes down how its jobs ended"
        )
    if last.phase is Phase.OVER:
        return _after_round(stage, last)
    if last.phase is Phase.ACTIVE and last.queue and last.watched is False:
        return Watch(stage.name, last.number, last.jobs)
    return _nothing(RunState.RUNNING, f"{stage.name}: round {last.number} {last.why or _WAITING[last.phase]}")


_WAITING = {
    Phase.SUBMITTING: "is being submitted",
    Phase.VANISHED: "is not seen any more",
    Phase.UNKNOWN: "is in an unknown state",
    Phase.ACTIVE: "is at work",
}


def _differs(stage: StageView) -> str:
    return (
        f"{stage.name}: the files of shard {stage.files.differs} were freed, and it was done again with other rows or "
        f"files than before; type the run's command with rerun={stage.name}"
    )


def _missing(stage: StageView) -> str:
    return (
        f"{stage.name}: {plural(len(stage.missing), 'committed shard')} not seen any more, e.g. {stage.missing[0]}; "
        "the run's command does them again, once a second look has confirmed it, and `hpcurate verify` looks closer"
    )


def _after_round(stage: StageView, last: RoundView) -> Action | Decision:
    if last.number > stage.forgiven and last.cancelled:
        return _nothing(RunState.CANCELLED, f"{stage.name}: round {last.number} was cancelled")
    if stage.nodes.why_none:
        return _nothing(RunState.STALLED, f"{stage.name}: {stage.nodes.why_none}")
    own, idle = rounds_of_its_own(stage), rounds_without_progress(stage)
    if stage.left.stuck and not stage.left.groups:
        more = f" (and {len(stage.left.stuck) - 1} more like it)" if len(stage.left.stuck) > 1 else ""
        return _nothing(RunState.STALLED, f"{stage.name}: {stage.left.stuck[0]}{more}", stage.left.overrides)
    group = stage.left.groups[0] if stage.left.groups else Group(_open_shards(stage))
    other_nodes = bool(own) and not set(stage.nodes.excluded) <= set(own[-1].exclude)
    if idle >= ROUNDS_WITHOUT_PROGRESS and not other_nodes and not group.has.exceeds(round.has for round in own):
        return _nothing(
            RunState.STALLED, f"{stage.name}: {idle} rounds in a row committed nothing{stage.nodes.why_idle}"
        )
    if len(own) >= MOST_ROUNDS:
        why = f"{len(own)} rounds since the command was typed, and {plural(_open_shards(stage), 'shard')} left"
        return _nothing(RunState.STALLED, f"{stage.name}: {why}")
    return Submit(stage.name, last.number + 1, group, stage.nodes.excluded)


def _open_shards(stage: StageView) -> int:
    return (stage.counts.shards or 0) - stage.counts.shards_done


def rounds_of_its_own(stage: StageView) -> tuple[RoundView, ...]:
    """Rounds since the user's latest call over the lists that the stage has now: only these are compared. Pure.

    Runs with other live sets share the folder and its numbers. A ticket that names no lists may be anybody's.
    """
    return tuple(r for r in stage.rounds if r.number > stage.forgiven and r.lists in (stage.lists, ""))


def rounds_without_progress(stage: StageView) -> int:
    """Rounds of its own at the end that committed nothing, told nothing, and had no more than those before. Pure.

    An attempt that tells something leads to a culprit, or to a round with more, one step a round at worst: `judge` ends
    that, or the bound of all rounds does. That bound is also the one of rounds that never had a job.
    """
    own = rounds_of_its_own(stage)
    idle, after = 0, (stage.counts.shards_done, stage.left.told)
    for n in reversed(range(len(own))):
        before = own[n].done_before, own[n].told_before
        if before != after or own[n].has.exceeds(view.has for view in own[:n]):
            break
        idle, after = idle + (not own[n].refused), before
    return idle


def _over_budget(stages: Sequence[StageView], budget: Budget) -> str:
    """Why the dead letters are too many, or nothing. Judged per stage and over the whole run.

    A stage that lost everything is too many whatever the budget: a trial of five tasks is the one that people check.
    """
    for stage in stages:
        if stage.complete and stage.counts.lost_everything:
            return f"{stage.name}: every task failed ({stage.counts.failed} of {stage.counts.tasks_in})"
        units = "groups" if stage.counts.groups_in else "tasks"
        if budget.exceeded(stage.counts.units_failed, stage.counts.units_in) and stage.complete:
            return f"{stage.name}: {stage.counts.units_failed} of {stage.counts.units_in} {units} failed"
    failed = sum(stage.counts.units_failed for stage in stages)
    most = max((stage.counts.units_in for stage in stages), default=0)
    if budget.exceeded(failed, most) and all(s.complete for s in stages):
        return f"{plural(failed, 'task')} failed over all stages"
    return ""
