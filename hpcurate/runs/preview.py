"""Before anything runs: what a request would do (`dry_run=true`). Writes nothing."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import submission_name, worker_count
from hpcurate.runs.code import frozen_path
from hpcurate.runs.expected import Expected, expected_of, needs_of
from hpcurate.runs.explanation import NOTHING, Explanation, explain
from hpcurate.runs.folder import Frozen, Run, peek_run
from hpcurate.runs.launcher import Launcher, Submission
from hpcurate.runs.left import Group
from hpcurate.runs.live import Observer
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.reconcile import StageView, Submit
from hpcurate.runs.submitting import plan_round
from hpcurate.source.intake import Intake, foresee_all
from hpcurate.source.scan import Scan, scans
from hpcurate.source.several import taken_alone
from hpcurate.source.taken import list_names
from hpcurate.store.layout import Store
from hpcurate.world import World

__all__ = ["Preview", "StagePreview", "preview", "views_of"]


NEW_RUN = "RUN"
"""Stands for the name of a run that is yet to be made."""


NEWS = "what is new or done again in the input comes to it"


class StagePreview(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a request."""

    stage: PlannedStage
    tasks: int | None
    """Tasks it has; None while the stage before it is incomplete."""
    shards: int | None
    done: int
    workers: int
    """Of the next round; the most there may be while the shards are not known."""
    script: str | None
    """Exact text of its sbatch script, where there is one."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a request would do."""

    run: Run | None
    """The run it would continue; None: a new one."""
    input: tuple[str, ...]
    """What the run would say of its source."""
    stages: list[StagePreview]
    expected: list[Expected]
    """What is left of each stage, in hours and disk."""
    explanations: list[Explanation]


def preview(request: Request) -> Preview:
    """Look at source, store and queue. Raises UserError where the request would be refused."""
    prepared = prepare(request)
    scanned = scans(request.source, request.limit)
    tasks = array("d", (weight for one in scanned for weight in one.weights()))
    store = Store.at(request.store)
    run = peek_run(store, prepared.draft, request.output, request.limit)
    pipeline = prepared.with_output(run) if run else prepared.draft
    latest = run.latest() if run else None
    lists = latest.source_lists if latest else _listed(store, pipeline, scanned)
    views = views_of(store, pipeline, prepared.launcher, lists, latest.retries if latest else {})
    shown = Run(store, run.name if run else NEW_RUN)
    code = frozen_path(prepared.code, shown.path)
    stages = [
        _stage_preview(stage, view, tasks if not stage.after else None, shown, prepared.launcher, code, pipeline)
        for stage, view in zip(pipeline.stages, views, strict=True)
    ]
    alone = taken_alone(request.source, lambda: World().filesystem.names(store.stages))
    intake = foresee_all(World(), store, pipeline.source.folder, scanned, request.limit, request.edits)
    return Preview(
        run=run,
        input=(*alone, *(note for one in scanned for note in one.notes), *intake.lines(request.edits)),
        stages=stages,
        expected=_expected(store, pipeline, views, len(tasks)),
        explanations=_with_news(explain(store, pipeline, views), intake),
    )


def _listed(store: Store, pipeline: Pipeline, scanned: Sequence[Scan]) -> tuple[str, ...]:
    """What others have taken in of these inputs."""
    folder = World().stage(store, pipeline.source.folder)
    return tuple(name for one in scanned for name in list_names(folder, one.lists))


def _expected(store: Store, pipeline: Pipeline, views: Sequence[StageView], tasks: int) -> list[Expected]:
    counts = {view.name: view.counts for view in views}
    return expected_of(pipeline.stages, counts, tasks, needs_of(store, pipeline))


def _with_news(explanations: list[Explanation], intake: Intake) -> list[Explanation]:
    """What is about to be taken in is in no list yet: a stage with nothing to do will have. Pure."""
    if not (intake.new or intake.again):
        return explanations
    return [
        msgspec.structs.replace(one, reason=f"runs: {NEWS}; {one.reason.removeprefix(NOTHING)} now")
        if one.reason.startswith(NOTHING)
        else one
        for one in explanations
    ]


def views_of(
    store: Store,
    pipeline: Pipeline,
    launcher: Launcher,
    source_lists: Sequence[str],
    retries: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Sequence[StageView]:
    """Where each stage stands, without leaving a trace."""
    if not source_lists:
        return [StageView(name=stage.name, ready=False) for stage in pipeline.stages]
    again = {name: tuple(lists) for name, lists in retries.items()}
    frozen = Frozen(pipeline=pipeline, source_lists=tuple(source_lists), launcher={}, retries=again, code="")
    return Observer(World(), store, frozen, launcher.queue).look()


def _stage_preview(
    stage: PlannedStage,
    view: StageView,
    weights: Sequence[float] | None,
    run: Run,
    launcher: Launcher,
    code: str,
    pipeline: Pipeline,
) -> StagePreview:
    counts = view.counts
    tasks, shards = (counts.tasks_in, counts.shards) if view.listed else (None, None)
    if shards is None and weights is not None:
        tasks, shards = len(weights), len(stage.relation.pieces(weights))
    most = launcher.most_workers(stage)
    left = most * stage.processes if shards is None else shards - counts.shards_done
    number = len(view.rounds) + 1
    plan = plan_round(
        stage,
        run=run,
        lists=(),
        action=Submit(stage.name, number, Group(left)),
        launcher=launcher,
        frozen=Frozen(
            pipeline=pipeline, source_lists=(), launcher={}, code=code, most={stage.name: launcher.most(stage)}
        ),
        results=view.results,
    )
    path = os.path.join(run.path, "submissions", submission_name(stage.name, number))
    name = run.job_name(stage.folder, number)
    submission = Submission(plan=plan, path=path, name=name)
    return StagePreview(
        stage=stage,
        tasks=tasks,
        shards=shards,
        done=counts.shards_done,
        workers=worker_count(left, stage.processes, stage.workers, most) if left else 0,
        script=launcher.script(submission) if left else None,
    )
