"""Starting a retry: choose the dead letters, check that nothing would be mixed, write their lists, and hand over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from hpcurate.planning.aliases import Aliases, alias_name
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.folder import Run, also_means
from hpcurate.runs.handover import Outcome, Progress, hand_over
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.reconcile import StageView
from hpcurate.runs.retry import Retry, chosen, new_lines, write_lists
from hpcurate.runs.same_stages import check_code, check_same, code_differences, edited_stages, keeping
from hpcurate.runs.start import Echo, write_run
from hpcurate.store.access import private_files
from hpcurate.world import World

__all__ = ["start_retry"]


def start_retry(
    request: Request,
    run: Run,
    which: Retry,
    *,
    echo: Echo = lambda line: None,
    progress: Callable[[tuple[StageView, ...]], None] | None = None,
    world: World | None = None,
) -> Outcome:
    """Try dead letters of a run again, with the code of this call, and drive or submit.

    Raises UserError where that would mix results, or where there is nothing to try; until then nothing is written.
    """
    before, world = run.frozen(), world or World()
    looker = RunLooker(run, make_launcher(before.launcher), world)
    if which.stage is not None:
        before.pipeline.stage(which.stage)
    dead = chosen(looker.observer, before.pipeline.stages, looker.observer.look(), which)
    failed = [(before.pipeline.stage(name), found) for name, found in dead.items()]
    lists = {stage.folder: new_lines(stage, found) for stage, found in failed}
    prepared = prepare(attrs.evolve(request, kept=keeping(before.pipeline)))
    pipeline = prepared.with_output(run)
    check_same(run.name, before.pipeline, pipeline)
    edited = edited_stages(pipeline, Aliases(request.store, filesystem=world.filesystem))
    if not which.keep_done:
        check_code(run.name, before.pipeline, edited)
    with private_files():
        request.environments.provide(echo)
        _keep(run, before.pipeline, edited, request)
        for stage, found in failed:
            echo(f"{stage.name}: {len(found)} dead letter{'s' * (len(found) > 1)} tried again")
        write_run(run, pipeline, before.source_lists, prepared, echo, world, write_lists(looker.observer, lists))
        echo(f"run {run.name}")
        return hand_over(run, prepared.launcher, request.wait, echo, progress or Progress(echo), world)


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
