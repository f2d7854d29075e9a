"""Before anything runs: what a request would do (`dry_run=true`), and why (`explain`). Writes nothing."""

from __future__ import annotations

import itertools
import json
import os
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import submission_name, worker_count
from hpcurate.runs.code import frozen_path
from hpcurate.runs.driver import plan_round
from hpcurate.runs.folder import Frozen, Run, peek_run
from hpcurate.runs.launcher import Launcher, Submission
from hpcurate.runs.live import Observer
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.reconcile import StageView, Submit
from hpcurate.source.intake import list_names
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.world import World

__all__ = ["Explanation", "Preview", "StagePreview", "explain", "preview", "views_of"]


NEW_RUN = "RUN"
"""Stands for the name of a run that is yet to be made."""


@attrs.define(frozen=True, kw_only=True)
class StagePreview:
    """One stage of a request."""

    stage: PlannedStage
    tasks: int | None
    """Tasks it has; None while the stage before it is incomplete."""
    shards: int | None
    done: int
    workers: int
    """Of the next round; the most there may be while the shards are not known."""
    gpu_hours: float | None
    """For what is left, from the shards committed so far; None if nothing is known."""
    script: str | None
    """Exact text of its sbatch script, where there is one."""


@attrs.define(frozen=True, kw_only=True)
class Preview:
    """What a request would do."""

    run: Run | None
    """The run it would continue; None: a new one."""
    tasks: int
    """Tasks of the source."""
    stages: list[StagePreview]
    explanations: list[Explanation]


@attrs.define(frozen=True, kw_only=True)
class Explanation:
    """Why one stage runs, or does not."""

    stage: str
    folder: str
    reason: str
    differences: tuple[str, ...] = ()
    """Parts that differ from the nearest folder of the same name: `parameters.crf: 23 → 21`."""


def preview(request: Request) -> Preview:
    """Look at source, store and queue. Raises UserError for whatever the request would be refused for."""
    prepared = prepare(request)
    tasks = array("d", itertools.islice((task.weight for task in request.source.tasks()), request.limit))
    store = Store.at(request.store)
    run = peek_run(store, prepared.draft, request.output, request.limit)
    pipeline = prepared.with_output(run) if run else prepared.draft
    views = views_of(store, pipeline, prepared.launcher, _source_lists(store, pipeline, run))
    shown = Run(store, run.name if run else NEW_RUN)
    code = frozen_path(prepared.code, shown.path)
    stages = [
        _stage_preview(stage, view, tasks if not stage.after else None, shown, prepared.launcher, code, pipeline)
        for stage, view in zip(pipeline.stages, views, strict=True)
    ]
    return Preview(run=run, tasks=len(tasks), stages=stages, explanations=explain(store, pipeline, views))


def _source_lists(store: Store, pipeline: Pipeline, run: Run | None) -> tuple[str, ...]:
    if run is not None:
        with suppress(Exception):
            return run.frozen().source_lists
    return tuple(list_names(World().stage(store, pipeline.source.folder)))


def views_of(store: Store, pipeline: Pipeline, launcher: Launcher, source_lists: Sequence[str]) -> Sequence[StageView]:
    """Where each stage stands, without leaving a trace."""
    if not source_lists:
        return [StageView(name=stage.name, ready=False) for stage in pipeline.stages]
    return Observer(World(), store, pipeline, source_lists, launcher.queue).look()


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
        tasks, shards = len(weights), stage.relation.count(weights)
    most = launcher.most_workers(stage)
    left = most * stage.processes if shards is None else shards - counts.shards_done
    number = len(view.rounds) + 1
    plan = plan_round(
        stage,
        run=run,
        lists=(),
        action=Submit(stage.name, number, left),
        launcher=launcher,
        frozen=Frozen(pipeline=pipeline, source_lists=(), launcher={}, code=code),
    )
    path = os.path.join(run.path, "submissions", submission_name(stage.name, number))
    submission = Submission(plan=plan, path=path, name=f"{stage.folder}-r{number}")
    return StagePreview(
        stage=stage,
        tasks=tasks,
        shards=shards,
        done=counts.shards_done,
        workers=worker_count(left, stage.processes, stage.workers, most) if left else 0,
        gpu_hours=gpu_hours(stage, counts.seconds, counts.shards_done, shards),
        script=launcher.script(submission) if left else None,
    )


def gpu_hours(stage: PlannedStage, seconds: float, done: int, shards: int | None) -> float | None:
    """GPU-hours for the shards that are left, if those done took `seconds` of a stage process in all. Pure."""
    if not stage.resources.gpus:
        return 0.0
    if not done or shards is None:
        return None
    return seconds / done * (shards - done) * stage.resources.gpus / 3600


# -- explain ----------------------------------------------------------------------------------------


def explain(store: Store, pipeline: Pipeline, views: Sequence[StageView]) -> list[Explanation]:
    """For each stage why it runs or not, and which parts differ from the nearest folder."""
    known = {name: parts for name in PosixFilesystem().names(store.stages) if (parts := _parts(store, name))}
    new = {stage.name for stage in pipeline.stages if stage.folder not in known}
    return [_explain(stage, view, known, new) for stage, view in zip(pipeline.stages, views, strict=True)]


def _parts(store: Store, folder: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError):
        parts: dict[str, Any] = json.loads(PosixFilesystem().read(store.stage(folder).stage_json))["parts"]
        return parts
    return None


def _explain(stage: PlannedStage, view: StageView, known: dict[str, dict[str, Any]], new: set[str]) -> Explanation:
    if stage.folder in known:
        return Explanation(stage=stage.name, folder=stage.folder, reason=_standing(view))
    others = {name: parts for name, parts in known.items() if name.rpartition("-")[0] == stage.name}
    if not others:
        return Explanation(stage=stage.name, folder=stage.folder, reason="runs: the store has no such stage yet")
    nearest, differences = min(
        ((name, part_differences(parts, stage.identity)) for name, parts in others.items()),
        key=lambda found: (len(found[1]), found[0]),
    )
    if all(line.startswith("upstream") for line in differences):
        above = [name for name in stage.after if name in new] or ["the source"]
        return Explanation(stage=stage.name, folder=stage.folder, reason=f"runs: {', '.join(above)} before it changed")
    own = tuple(line for line in differences if not line.startswith("upstream"))
    reason = f"runs: differs from {nearest} in {len(own)} part{'s' * (len(own) != 1)}"
    return Explanation(stage=stage.name, folder=stage.folder, reason=reason, differences=own)


def _standing(view: StageView) -> str:
    counts = view.counts
    if view.complete:
        return f"nothing to do: all {counts.shards} shards are committed"
    if not view.ready:
        return "waits: what it reads is not complete"
    if not view.listed:
        return "runs: its input has grown"
    return f"runs: {counts.shards_done} of {counts.shards} shards are committed"


def part_differences(old: Any, new: Any) -> list[str]:
    """Leaf by leaf, `key: old → new`. Pure."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = dict.fromkeys([*after, *before])
    return [f"{key}: {_shown(before, key)} → {_shown(after, key)}" for key in keys if before.get(key) != after.get(key)]


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Leaves with dotted paths; the wrapping `stage` is left out: it adds nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, path if key == "stage" and not path else f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            name = str(inner.get("class", number)).rpartition(":")[2] if isinstance(inner, dict) else str(number)
            yield from _leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


def _shown(leaves: dict[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=True) if key in leaves else "default"
