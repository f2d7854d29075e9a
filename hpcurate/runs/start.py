"""Starting or continuing a run: prepare, scan, open, take in, freeze, and hand over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

import msgspec

from hpcurate.errors import PipelineError
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.code import freeze_code, installed_versions
from hpcurate.runs.commands import spelling_out
from hpcurate.runs.explanation import code_changes
from hpcurate.runs.folder import Frozen, Run, open_run, open_store, point_latest, with_retried
from hpcurate.runs.freeing import needs_files
from hpcurate.runs.handover import Progress, ShowProgress, hand_over
from hpcurate.runs.inputs import keep_inputs
from hpcurate.runs.metrics import what_is_missing
from hpcurate.runs.outcome import Outcome
from hpcurate.runs.prepare import Prepared, Request, prepare
from hpcurate.runs.retry_log import Retried
from hpcurate.source.intake import take_in_all, write_stage_json
from hpcurate.source.scan import Scan, scans
from hpcurate.source.several import taken_alone
from hpcurate.source.taken import Taken
from hpcurate.store.access import private_files
from hpcurate.store.layout import StageFolder, Store
from hpcurate.world import World

__all__ = ["freeze_run", "start", "write_run"]

Echo = Callable[[str], None]


def start(
    request: Request,
    *,
    echo: Echo = lambda line: None,
    progress: ShowProgress | None = None,
    listing: Callable[[int], None] = lambda count: None,
    opened: Callable[[Run], None] = lambda run: None,
    world: World | None = None,
) -> Outcome:
    """Check everything, then open the run, take in the source, and drive or submit.

    Raises UserError; until then nothing is written or submitted. `opened` hears of the run before anything of it works.
    """
    prepared, world = prepare(request), world or World()
    taken = Taken(world.stage(Store.at(request.store), prepared.draft.source.folder), request.source.task_type)
    scanned = scans(request.source, request.limit, listing, taken)
    stages, names = Store.at(request.store).stages, world.filesystem.names
    alone = taken_alone(request.source, lambda: names(stages))
    for note in (*alone, *(note for one in scanned for note in one.notes)):
        echo(f"input: {note}")
    if request.metrics and (missing := what_is_missing(request.metrics)):
        echo(f"site.metrics={request.metrics}: no metrics of this run: {missing}")
    with private_files():
        store = open_store(request.store, world.filesystem, echo, request.store_mode, frees=request.keep == "results")
        world = world.expecting(store)
        request.environments.provide(echo)
        with _there(store, world):
            run = _opened(store, prepared, scanned, echo, world)
            opened(run)
            echo(f"run {run.name}")
            with spelling_out(request.command, store.root):
                return hand_over(run, prepared.launcher, request.wait, echo, progress or Progress(echo), world)


def _opened(store: Store, prepared: Prepared, scanned: Sequence[Scan], echo: Echo, world: World) -> Run:
    """The run, with all that it needs in the store."""
    request = prepared.request
    run = open_run(store, prepared.draft, request.output, request.limit, world.filesystem, world.clock)
    pipeline = prepared.with_output(run)
    request.epochs.record()
    _want(run, pipeline.source.folder)
    intake = take_in_all(world, store, pipeline.source.folder, scanned, request.limit, request.edits)
    intake = intake.after_retries(_tried(run, pipeline), request.edits)
    for line in (*intake.lines(request.edits), *intake.since(run.source_lists())):
        echo(f"input: {line}")
    write_run(run, pipeline, intake.lists, prepared, echo, world)
    return run


@contextmanager
def _there(store: Store, world: World) -> Iterator[None]:
    """Whatever of the store is missed meanwhile is missing; or the store is: OSError, see `World.expecting`."""
    try:
        yield
    except FileNotFoundError:
        world.filesystem.read(store.format_json)
        raise


def write_run(
    run: Run,
    pipeline: Pipeline,
    source_lists: tuple[str, ...],
    prepared: Prepared,
    echo: Echo,
    world: World,
    retries: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    tried: Mapping[str, dict[str, str]] = MappingProxyType({}),
) -> None:
    """Write all that gates and workers will read, before anything is submitted (I3)."""
    request, filesystem = prepared.request, world.filesystem
    code = freeze_code(prepared.code, run.path)
    _check_unedited(prepared)
    pipeline = keep_inputs(run, pipeline)
    for line in code_changes(run.store, pipeline):
        echo(line)
    filesystem.replace(os.path.join(run.path, "config.yaml"), request.config.encode("utf-8", "surrogateescape"))
    filesystem.replace(os.path.join(run.path, "overrides.json"), json.dumps(request.command.words).encode() + b"\n")
    frozen = Frozen(
        pipeline=pipeline,
        source_lists=source_lists,
        launcher=request.launcher,
        retries=dict(retries),
        tried=dict(tried),
        code=code,
        most={stage.name: prepared.launcher.most(stage) for stage in pipeline.stages},
        nodes={stage.name: prepared.launcher.nodes(stage) for stage in pipeline.stages},
        keep=request.keep,
        output=request.output or run.output,
        metrics=request.metrics,
        versions=installed_versions(prepared.stage_modules),
        command=msgspec.structs.replace(request.command, at=f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}"),
    )
    freeze_run(run, frozen, echo, world)
    point_latest(run)


def freeze_run(run: Run, frozen: Frozen, echo: Echo, world: World) -> None:
    """From here on the run wants its stages and is not cancelled, and what its rounds lost before is forgiven.

    What it has retried before stays, too: see `with_retried`.
    """
    pipeline = frozen.pipeline
    _want_stages(run, pipeline, echo)
    uses = {s.folder: needs_files(world.stage(run.store, s.folder), run.name) for s in pipeline.stages}
    forgiven = {s.name: world.stage(run.store, s.folder).rounds.count() for s in pipeline.stages}
    if frozen.retries:
        run.retry_log.add(Retried(frozen.retries, frozen.tried))
    before = run.latest()
    run.freeze(msgspec.structs.replace(with_retried([before] if before else [], frozen), forgiven=forgiven, uses=uses))
    run.unmark_cancelled()


def _tried(run: Run, pipeline: Pipeline) -> dict[str, str]:
    """Id of an item whose files had changed → what they looked like when a retry of this run tried it last."""
    latest = run.latest()
    tried = [latest.tried.get(stage.folder, {}) for stage in pipeline.stages] if latest else []
    return {item: state for items in tried for item, state in items.items()}


def _check_unedited(prepared: Prepared) -> None:
    """What was frozen is what the stages were identified by: a long listing lies between. Raises PipelineError."""
    for before, now in zip(prepared.draft.stages, prepared.request.draft().stages, strict=True):
        if (before.identity, before.code) != (now.identity, now.code):
            raise PipelineError(
                f"stages.{now.name}: its code, or a file that it reads, was edited while the run was being started; "
                "type the same command again"
            )


def _want_stages(run: Run, pipeline: Pipeline, echo: Echo) -> None:
    """Each stage's folder, with what the stage is, and this run among those that want it."""
    for stage in pipeline.stages:
        above = [pipeline.stage(name).folder for name in stage.after] or [pipeline.source.folder]
        above += [pipeline.stage(one.stage).folder for one in stage.results]
        parts = {"stage": stage.name, "fingerprint": stage.fingerprint, "parts": stage.identity, "upstream": above}
        beside = {"deterministic": stage.deterministic, "environment": stage.env.digest, "code": stage.code}
        before = _want(run, stage.folder, {**parts, **beside}).get("environment", stage.env.digest)
        if before != stage.env.digest:
            echo(_other_environment(stage.name, before, stage.env.digest))


def _want(run: Run, folder: str, plain: dict[str, object] | None = None) -> dict[str, Any]:
    """From here on nobody cleans a folder: what is found there will be there. `plain`: what the stage is.

    What was said first of that. A clean that saw nobody here may move the folder away meanwhile: then all of it again.
    """
    stage = run.store.stage(folder)
    for _ in range(2):
        with suppress(FileNotFoundError):
            first = _mark(run, stage, plain)
            if run.name in run.filesystem.names(stage.wanted):
                return first
    return _mark(run, stage, plain)


def _mark(run: Run, stage: StageFolder, plain: dict[str, object] | None) -> dict[str, Any]:
    run.filesystem.make_folders(stage.wanted)
    run.filesystem.create(os.path.join(stage.wanted, run.name), b"")
    return write_stage_json(run.filesystem, stage, plain) if plain else {}


def _other_environment(stage: str, before: str, now: str) -> str:
    """An environment is no part of a fingerprint: what was committed in another one stays, with this notice. Pure."""
    was, will = before or "(the current one)", now or "(the current one)"
    return (
        f"{stage}: was begun in the environment {was}, continues in {will}; what is committed stays, "
        f"rerun={stage} does it again"
    )
