"""Where a run stands, and what to type next: what `summary.json` holds (design §11)."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from hpcurate.masks import mask_plain
from hpcurate.planning.aliases import has_no_version
from hpcurate.planning.plan import submission_name
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.next_steps import next_steps
from hpcurate.runs.reconcile import Look, StageView
from hpcurate.runs.state import RunState, StageCounts, StageGpu
from hpcurate.store.reports import read_reports
from hpcurate.store.stats import Amounts, LeftOut, Logged

MOST_REASONS = 200
"""Drop reasons of a stage in a report."""


class TaskInWork(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that is in work, first of its batch."""

    id: str
    name: str
    """What people call it: its file if it has one."""
    shard: str
    worker: str
    node: str
    seconds: float
    """For how long, as its worker last said."""
    batch: int = 1
    """Tasks that are in work together with it, itself included. Left out of one by itself."""
    expected_s: float | None = None
    """What its batch takes if it is like the others of its stage, by weight; None: nothing of the stage is done yet."""
    limit_s: float = 0.0
    """After how long `task_timeout` ends it. Left out if it never does."""
    silent_s: float = 0.0
    """For how long its worker has shown no sign of life. Left out of one that shows them."""
    curves: dict[str, tuple[int | None, float | None]] = {}
    """Name → step and value that its program wrote last, where it has a checkpoint; None for no finite number."""


class StageInWork(msgspec.Struct, frozen=True, kw_only=True):
    """What the workers of a stage's open rounds have in work."""

    workers: int
    """That have begun."""
    read: int
    """Of them whose heartbeats were read: of many a part, and the rest is estimated."""
    shards: int
    """In work, by those that were read."""
    silent: int
    """Of them those whose worker shows no sign of life."""
    starting: dict[str, tuple[int, float]] = msgspec.field(default_factory=dict)
    """What workers do that have no shard yet → how many do so, and the longest for how many seconds."""
    tasks: tuple[TaskInWork, ...]
    """A few: those of silent workers first, then those that take longest for what they are."""


class StageReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stage over the live set. A Struct, because `in` can be a key of JSON but not a name of Python."""

    tasks_in: int = msgspec.field(name="in")
    tasks_out: int = msgspec.field(name="out")
    dropped: int
    failed: int
    shards: int | None
    """None: not known before the stage above is complete."""
    shards_done: int
    seconds: float
    not_returned: int = 0
    """Of those dropped: neither passed on nor dropped with a reason. Left out if there are none."""
    gpu: StageGpu | None = None
    """Left out where nobody saw a GPU."""
    ended: float | None = None
    """When its last shard was done, Unix seconds: for people to read. Left out where that is not known."""
    cpu_seconds: float = 0.0
    """Of cores, user and system. This and the peak are left out of what an earlier hpcurate committed."""
    peak_memory_mb: float = 0.0
    """Most main memory of a stage process and its children."""
    notes: tuple[str, ...] = ()
    """Which rounds had more than usual and for what, and which nodes are left out why. Left out if there are none."""
    amounts_in: Amounts = msgspec.field(default_factory=dict)
    """What the tasks amounted to, by unit: seconds and bytes of video. These and what follows are left out if empty."""
    amounts_out: Amounts = msgspec.field(default_factory=dict)
    amounts_failed: Amounts = msgspec.field(default_factory=dict)
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """Drop reason → tasks, those that members of a chain dropped included; the most frequent ones first."""
    lost: dict[str, Amounts] = msgspec.field(default_factory=dict)
    """Drop reason → what those tasks amounted to."""
    left_out: dict[str, LeftOut] = msgspec.field(default_factory=dict)
    """Reason → what was left out of tasks that went on."""
    unmeasured: int = 0
    """Shards of which it is not known what their tasks amount to, where it is of others."""
    progress: float | None = None
    """Share that is done, 0 to 1, by weight. Left out before its shards are known."""
    left_s: float | None = None
    """Seconds that it still takes at this pace. Left out where nobody can say."""
    in_work: StageInWork | None = None
    """Left out where nobody works, or nobody has looked."""
    logged: dict[str, Logged] = msgspec.field(default_factory=dict)
    """What the stage logged, by name. Left out if there is nothing."""
    folder: str = ""
    """Where its results are: shards of rows, each with the files that they name."""

    @classmethod
    def of(cls, counts: StageCounts, notes: tuple[str, ...] = (), folder: str = "") -> StageReport:
        """From the counts of a look."""
        return cls(
            tasks_in=counts.tasks_in,
            tasks_out=counts.tasks_out,
            dropped=counts.dropped,
            not_returned=counts.not_returned,
            failed=counts.failed,
            shards=counts.shards,
            shards_done=counts.shards_done,
            seconds=counts.seconds,
            gpu=counts.gpu,
            ended=counts.ended,
            cpu_seconds=counts.cpu_seconds,
            peak_memory_mb=counts.peak_memory_mb,
            notes=notes,
            amounts_in=counts.amounts_in,
            amounts_out=counts.amounts_out,
            amounts_failed=counts.amounts_failed,
            reasons=(reasons := most_frequent(counts.reasons)),
            lost={reason: amounts for reason, amounts in counts.lost.items() if reason in reasons},
            left_out=counts.left_out,
            unmeasured=counts.unmeasured,
            progress=counts.progress(),
            logged=dict(counts.logged),
            folder=folder,
        )

    @property
    def committed(self) -> StageReport:
        """Without what moves while nothing is committed, and what an earlier hpcurate did not write."""
        return msgspec.structs.replace(self, progress=None, left_s=None, in_work=None, folder="")

    @property
    def complete(self) -> bool:
        """Whether all its shards are committed."""
        return self.shards == self.shards_done


def most_frequent(reasons: Mapping[str, int]) -> dict[str, int]:
    """So many that a report stays short. Pure."""
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:MOST_REASONS])


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole run."""

    run: str
    pipeline: str
    state: RunState
    reason: str
    """Why the state is what it is; empty where nothing needs explaining."""
    as_of: str
    """When it was looked at, UTC."""
    stages: dict[str, StageReport]
    """In the order of the pipeline."""
    output: str
    """Folder of the result; empty where no stage writes to it."""
    next: str
    """What to type now, a command to a line; empty for a complete run without dead letters."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> RunReport:
        """From the content of `summary.json`. Raises msgspec.ValidationError."""
        return msgspec.convert(plain, cls)

    @property
    def committed(self) -> dict[str, StageReport]:
        """Its stages, without what moves while nothing is committed."""
        return {name: stage.committed for name, stage in self.stages.items()}

    @property
    def not_returned(self) -> int:
        """Tasks that were neither passed on nor dropped with a reason, over all stages."""
        return sum(stage.not_returned for stage in self.stages.values())

    @property
    def failed(self) -> int:
        """Dead letters over all stages."""
        return sum(stage.failed for stage in self.stages.values())

    def plain(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def report_of(run: Run, frozen: Frozen, look: Look, now: datetime.datetime) -> RunReport:
    """Where the run stands, after a look at it at that time (UTC)."""
    state = look.decision.state
    unversioned = {stage.name for stage in frozen.pipeline.stages if has_no_version(stage.identity)}
    return RunReport(
        run=run.name,
        pipeline=frozen.pipeline.name,
        state=state,
        reason=_with_setup_failure(run, look),
        as_of=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        stages=_stages(run, frozen, look.views),
        output=_result_folder(frozen),
        next=next_steps(
            run.name,
            run.store.root,
            frozen.command,
            state,
            reason=look.decision.reason,
            overrides=look.decision.overrides,
            failed=sum(view.counts.failed for view in look.views),
            unversioned=any(view.counts.failed and view.name in unversioned for view in look.views),
            hopeless=any(view.counts.lost_everything for view in look.views),
        ),
    )


def _result_folder(frozen: Frozen) -> str:
    """Where stages publish, or what a parameter of one names; empty if none does. Pure."""
    stages = frozen.pipeline.stages
    used = any(stage.publishes or frozen.output in str(stage.spec.parameters) for stage in stages)
    return frozen.output if used else ""


def _stages(run: Run, frozen: Frozen, views: Iterable[StageView]) -> dict[str, StageReport]:
    """Where each stage stands. Pure."""
    folders = {stage.name: run.store.stage(stage.folder).path for stage in frozen.pipeline.stages}
    return {view.name: StageReport.of(view.counts, notes_of(view), folders[view.name]) for view in views}


def notes_of(view: StageView) -> tuple[str, ...]:
    """`round 3: 1 shard that ran out of memory, 816 of 419 MB; it has 838 MB`, `without node7: no GPU`,
    `3 of 100 inputs are missing (dead letters of embed)`. Pure.
    """
    special = [f"round {r.number}: {r.special}" for r in view.rounds if r.special and r.number > view.forgiven]
    bad = {report.node: f"setup failed there: {report.message}" for report in view.nodes.setups} | {**view.nodes.bad}
    without = [f"without {node}: {bad[node]}" for node in view.nodes.excluded]
    missing = [str(view.inputs_missing)] if view.inputs_missing else []
    return (*missing, *special, *without)


def write_report(run: Run, report: RunReport) -> None:
    """Write `summary.json`, if we may: a run's folder is its owner's."""
    with suppress(OSError):
        run.filesystem.replace(run.summary_json, json.dumps(mask_plain(report.plain()), indent=1).encode() + b"\n")


def written_report(run: Run) -> RunReport | None:
    """What the latest look at the run wrote; None if there is none that can be read."""
    with suppress(OSError, ValueError, msgspec.MsgspecError):
        return RunReport.of(json.loads(run.filesystem.read(run.summary_json)))
    return None


def _with_setup_failure(run: Run, look: Look) -> str:
    """Why a stage stalled, in the words of the worker that could not set it up."""
    reason = look.decision.reason
    if look.decision.state is not RunState.STALLED:
        return reason
    view = next((v for v in look.views if v.ready and not v.complete and v.rounds), None)
    if view is None:
        return reason
    path = os.path.join(run.path, "submissions", submission_name(view.name, view.rounds[-1].number))
    with suppress(OSError):
        first = [report.message for report in read_reports(run.filesystem, path)[:1]]
        reason += "".join(f"; {message}" for message in first if message not in reason)
    return reason
