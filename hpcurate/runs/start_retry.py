"""Starting a retry: choose the dead letters, check that nothing would be mixed, write their lists, and hand over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from hpcurate.errors import StoreError
from hpcurate.planning.aliases import Aliases, alias_name
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.commands import spelling_out
from hpcurate.runs.folder import Frozen, Run, also_means, open_store
from hpcurate.runs.handover import Progress, ShowProgress, hand_over
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.live import Observer
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.outcome import Outcome
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.retried_files import RetriedFiles, without
from hpcurate.runs.retry import Dead, Retry, chosen, new_lines, write_lists
from hpcurate.runs.same_stages import check_code, check_same, code_differences, edited_stages, keeping
from hpcurate.runs.start import Echo, write_run
from hpcurate.source.taken import Taken
from hpcurate.store.access import private_files
from hpcurate.world import World

__all__ = ["start_retry"]

Failed = tuple[PlannedStage, list[Dead]]
"""Dead letters of a stage."""


def start_retry(
    request: Request,
    run: Run,
    which: Retry,
    *,
    echo: Echo = lambda line: None,
    progress: ShowProgress | None = None,
    world: World | None = None,
) -> Outcome:
    """Try dead letters of a run again, with the code of this call, and drive or submit.

    Raises UserError where that would mix results, or where there is nothing to try; until then nothing is written.
    """
    before, world = run.frozen(), world or World()
    with spelling_out(before.command, run.store.root):
        return _start(request, run, which, before, echo, progress or Progress(echo), world)


def _start(
    request: Request,
    run: Run,
    which: Retry,
    before: Frozen,
    echo: Echo,
    progress: ShowProgress,
    world: World,
) -> Outcome:
    world = world.expecting(open_store(request.store, world.filesystem, echo))
    prepared = prepare(attrs.evolve(request, kept=keeping(before.pipeline)))
    pipeline = prepared.with_output(run)
    check_same(run.name, before.pipeline, pipeline)
    failed, files, observer = _failed(request, run, which, before, echo, world)
    lists = {stage.folder: new_lines(stage, dead) for stage, dead in failed}
    edited = edited_stages(pipeline, Aliases(request.store, filesystem=world.filesystem))
    if not which.keep_done:
        check_code(run.name, run.store.root, before.pipeline, edited)
    tried = {stage.folder: _tried(stage, files.tried(stage, lists[stage.folder]), echo) for stage, _ in failed}
    with private_files():
        request.environments.provide(echo)
        _keep(run, before.pipeline, edited, request)
        retries = write_lists(observer.store, lists)
        for stage, dead in failed:
            echo(f"{stage.name}: {len(dead)} dead letter{'s' * (len(dead) > 1)} tried again")
        write_run(run, pipeline, run.source_lists(), prepared, echo, world, retries, tried)
        echo(f"run {run.name}")
        return hand_over(run, prepared.launcher, request.wait, echo, progress, world)


def _failed(
    request: Request, run: Run, which: Retry, before: Frozen, echo: Echo, world: World
) -> tuple[list[Failed], RetriedFiles, Observer]:
    """What is tried again. Raises StoreError, or NothingChosen."""
    stages = {stage.name: stage for stage in before.pipeline.stages}
    if which.stage is not None:
        before.pipeline.stage(which.stage)
    observer = RunLooker(run, make_launcher(before.launcher), world).observer
    found = chosen(observer, before.pipeline.stages, observer.look(), which)
    source = world.stage(run.store, before.pipeline.source.folder)
    files = RetriedFiles(Taken(source, request.source.task_type), before.source_lists, before.tried)
    return _unmixed([(stages[name], dead) for name, dead in found.items()], files, echo), files, observer


def _unmixed(failed: Sequence[Failed], files: RetriedFiles, echo: Echo) -> list[Failed]:
    """What can be tried without mixing two contents of one file. Raises StoreError if nothing can."""
    left, said = [], list[str]()
    for stage, dead in failed:
        mixed = files.mixed(stage, dead)
        for name in sorted(set(mixed.values()))[:1]:
            said.append(
                f"{stage.name}: {len(dead) - len(without(dead, mixed))} not tried, e.g. {name!a}: it was changed after "
                "the stages before had read it; type the run's command with changed=redo"
            )
        left.append((stage, without(dead, mixed)))
    left = [(stage, dead) for stage, dead in left if dead]
    if not left:
        raise StoreError("; ".join(said))
    for line in said:
        echo(line)
    return left


def _tried(stage: PlannedStage, changed: Mapping[str, tuple[str, str]], echo: Echo) -> dict[str, str]:
    """Id → what its files look like; and a line about them."""
    for name in sorted(name for name, _ in changed.values())[:1]:
        echo(f"{stage.name}: {len(changed)} changed since they were taken in, e.g. {name!a}; tried as they are now")
    return {item: state for item, (_, state) in changed.items()}


def _keep(run: Run, before: Pipeline, edited: Sequence[PlannedStage], request: Request) -> None:
    """Write down that these stages go on in their folders with today's code, and that the command means this run."""
    if edited:
        folders = {alias_name(stage.name, stage.identity): stage for stage in edited}
        more = {name: stage.fingerprint for name, stage in folders.items()}
        aliases = Aliases(request.store, more, run.filesystem)
        also_means(run, attrs.evolve(request, kept=aliases).identity())
        for name, stage in folders.items():
            plain = {"folder": stage.folder, "fingerprint": stage.fingerprint, "parts": stage.identity}
            aliases.record(name, {**plain, "run": run.name, "differs": code_differences(before, stage)})
