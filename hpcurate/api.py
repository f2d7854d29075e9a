"""`hpcurate.run(...)`: the same engine from Python, and the one path every start takes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import conf_folders
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError, GateRefused, PipelineError
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import weights_of
from hpcurate.planning.build import EpochOf, Step, build
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.options import Budget
from hpcurate.planning.pipeline import Pipeline, Timing
from hpcurate.runs.code import freeze_code, installed_versions
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import UNNAMED, Frozen, Run, check_store_writable, open_run, open_store, point_latest
from hpcurate.runs.launcher import Launcher, make_launcher
from hpcurate.runs.reconcile import Decision, Look, StageView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import summary_of, write_summary
from hpcurate.source import Items, Source
from hpcurate.source.intake import Intake, take_in, write_stage_json
from hpcurate.source.scan import scan
from hpcurate.stage import Stage, members
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.system.processes import ProcessIdentity
from hpcurate.task import Task
from hpcurate.world import World

STAYING_PATIENCE_S = 3600.0
"""How long a call that stays waits for room under a site's submit limit."""
Echo = Callable[[str], None]
LAUNCHERS = {
    "inline": "launchers.inline.InlineLauncher",
    "local": "launchers.local.LocalLauncher",
    "slurm": "launchers.slurm.SlurmLauncher",
}


@attrs.define(frozen=True, kw_only=True)
class Request:
    """What somebody wants run: everything a start, a dry run and `explain` need to know."""

    make: Callable[[str, EpochOf], Pipeline]
    """`make(output, epoch)` builds the pipeline that writes its result to `output`."""
    source: Source
    store: str
    launcher: dict[str, Any]
    """`_target_` and parameters."""
    output: str | None = None
    wait: bool | None = None
    limit: int | None = None
    """Only the first so many tasks of the source: a trial, whose work the full run reuses."""
    epochs: Epochs
    """Of the store; says which stages to do anew."""
    modules: tuple[str, ...] = ()
    """Where the stage classes come from: their code is frozen."""
    provide: Callable[[Echo], None] = lambda echo: None
    """Fetches what the stages' processes will need, before anything is submitted."""
    config: str = ""
    """Resolved configuration, YAML."""
    overrides: tuple[str, ...] = ()
    """As typed."""

    def pipeline(self, output: str) -> Pipeline:
        """The pipeline with that output folder."""
        return self.make(output, self.epochs)


@attrs.define(frozen=True)
class Outcome:
    """Where a start left its run."""

    run: Run
    state: RunState
    summary: dict[str, Any]
    """As in `summary.json`."""

    @property
    def output(self) -> str:
        """Folder of the run's result."""
        return str(self.summary["output"])


def run(  # noqa: PLR0913 - the one door from Python
    stages: Mapping[str, Stage[Any, Any] | Step] | Sequence[Stage[Any, Any]],
    source: Source | Iterable[Task],
    *,
    store: str | Path,
    launcher: str | Mapping[str, Any] = "local",
    name: str = "pipeline",
    output: str | Path | None = None,
    wait: bool | None = None,
    limit: int | None = None,
    rerun: Sequence[str] = (),
    budget: Budget | None = None,
    timing: Timing | None = None,
    echo: Echo = lambda line: None,
) -> Outcome:
    """Run stages over a source.

    `stages` are in order, or a mapping of names to stages or `Step`s (a stage with options); `launcher` is
    `inline`, `local`, `slurm`, or a mapping with `_target_`. `limit` takes the first so many tasks only;
    `rerun` names stages to do anew. Raises UserError before anything is written if something does not fit.
    """
    nodes = _nodes(stages)
    where: Any = source if hasattr(source, "identity") else Items(tuple(source))  # type: ignore[arg-type]
    config = {"_target_": LAUNCHERS[launcher]} if isinstance(launcher, str) else dict(launcher)
    weights = weights_of(os.fspath(store), read_registry(conf_folders()))
    environments = Environments(os.fspath(store), env_folders())

    def make(_: str, epoch: EpochOf) -> Pipeline:
        return build(
            name, where, nodes, budget=budget, timing=timing, epoch=epoch, weights=weights, environment=environments
        )

    request = Request(
        make=make,
        source=where,
        store=os.fspath(store),
        output=None if output is None else os.fspath(output),
        launcher=config,
        wait=wait,
        limit=limit,
        epochs=Epochs(os.fspath(store), rerun),
        modules=tuple(type(m).__module__ for node in nodes.values() for m in members(node.stage)),
        provide=environments.provide,
    )
    return execute(request, echo=echo)


def _nodes(stages: Mapping[str, Stage[Any, Any] | Step] | Sequence[Stage[Any, Any]]) -> dict[str, Step]:
    if not isinstance(stages, Mapping):
        names = [_snake(type(stage).__name__) for stage in stages]
        unique = [n if names.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(names)]
        stages = dict(zip(unique, stages, strict=True))
    return {name: stage if isinstance(stage, Step) else Step(stage) for name, stage in stages.items()}


def _snake(name: str) -> str:
    return "".join(("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name.lstrip("_")))


def execute(
    request: Request,
    *,
    echo: Echo = lambda line: None,
    progress: Callable[[tuple[StageView, ...]], None] | None = None,
    listing: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Check everything, then open the run, take in the source, and drive or submit.

    Raises UserError; until then nothing is written or submitted.
    """
    engine = check(request)
    found = scan(request.source, request.limit, listing)
    for note in found.notes:
        echo(f"input: {note}")
    opened = open_store(request.store)
    request.provide(echo)
    request.epochs.record()
    current, pipeline = open_run(opened, request.pipeline, request.output, request.limit)
    intake = take_in(World(), opened, pipeline.source.folder, found, request.limit)
    _tell_intake(intake, echo)
    _write_run(current, pipeline, intake, request, echo)
    echo(f"run {current.name}")
    return _go(current, engine, request.wait, echo, progress or Progress(echo))


def check(request: Request) -> Launcher:
    """Refuse what could never run, without writing anything; the launcher. Raises UserError."""
    engine = make_launcher(request.launcher)
    if not engine.in_process and "__main__" in request.modules:
        raise PipelineError(
            "a stage class is defined in the script itself, which workers cannot import; "
            "move it into a module of its own (mystages.py), or use launcher='inline'"
        )
    if request.limit is not None and request.limit < 1:
        raise ConfigError(f"limit={request.limit}: expected at least 1")
    pipeline = request.pipeline(request.output or UNNAMED)
    request.epochs.check(stage.name for stage in pipeline.stages)
    engine.check(pipeline, Store.at(request.store).root)
    check_store_writable(request.store)
    return engine


def _write_run(run: Run, pipeline: Pipeline, intake: Intake, request: Request, echo: Echo) -> None:
    """Everything the gates and workers will read, before anything is submitted (I3)."""
    filesystem, store = PosixFilesystem(), run.store
    code = freeze_code([*request.modules, str(request.launcher["_target_"])], run.path)
    for stage in pipeline.stages:
        folder = store.stage(stage.folder)
        above = [pipeline.stage(name).folder for name in stage.after] or [pipeline.source.folder]
        parts = {"stage": stage.name, "fingerprint": stage.fingerprint, "parts": stage.identity, "upstream": above}
        beside = {"deterministic": stage.deterministic, "environment": stage.env.digest}
        before = write_stage_json(filesystem, folder, {**parts, **beside}).get("environment", stage.env.digest)
        if before != stage.env.digest:
            echo(_other_environment(stage.name, before, stage.env.digest))
        filesystem.make_folders(folder.wanted)
        filesystem.create(os.path.join(folder.wanted, run.name), b"")
    filesystem.replace(os.path.join(run.path, "config.yaml"), request.config.encode("utf-8", "surrogateescape"))
    filesystem.replace(os.path.join(run.path, "overrides.json"), json.dumps(request.overrides).encode() + b"\n")
    forgiven = {s.name: World().stage(store, s.folder).rounds.count() for s in pipeline.stages}
    frozen = Frozen(
        pipeline=pipeline,
        source_lists=intake.lists,
        launcher=request.launcher,
        code=code,
        forgiven=forgiven,
        output=request.output or run.output,
        versions=installed_versions(request.modules),
    )
    run.freeze(frozen)
    if run.cancelled:
        os.unlink(os.path.join(run.path, "cancelled"))
    point_latest(run)


def _other_environment(stage: str, before: str, now: str) -> str:
    """An environment is no part of a fingerprint: what was committed in another one stands, and is said. Pure."""
    was, will = before or "(the current one)", now or "(the current one)"
    return (
        f"{stage}: was begun in the environment {was}, goes on in {will}; what is committed stays, "
        f"rerun={stage} does it anew"
    )


def _go(
    run: Run, launcher: Launcher, wait: bool | None, echo: Echo, progress: Callable[[tuple[StageView, ...]], None]
) -> Outcome:
    stays = launcher.stays if wait is None else wait
    if stays:  # somebody who waits anyway waits for room in the queue, too
        launcher.wait_longer(STAYING_PATIENCE_S)
    driver = Driver(run, launcher, echo=echo, stays=stays)
    before = driver.look()
    if not stays and launcher.children is not None:
        return _detach(run, before, driver, echo)
    with _sigterm_as_interrupt():
        look = driver.drive(progress) if stays else _hand_over(driver)
    if before.decision.state is RunState.COMPLETE:
        echo("nothing to do: every shard was committed before, none was attempted")
    return Outcome(run, look.decision.state, summary_of(run, driver.frozen, look))


def _hand_over(driver: Driver) -> Look:
    """Submit what is ready and its gates. An array without its gate runs, but nothing goes on after it."""
    try:
        return driver.step()
    except GateRefused as error:
        reason = (
            f"an array is queued, its gate is not ({error}); when it is done, type the same again, or now wait=true"
        )
        look = Look(driver.look().views, Decision((), RunState.INCOMPLETE, reason))
        write_summary(driver.run, summary_of(driver.run, driver.frozen, look))
        return look


def _detach(run: Run, before: Look, driver: Driver, echo: Echo) -> Outcome:
    """`launcher=local wait=false`: a driver of its own session carries on."""
    import subprocess

    begun = attrs.evolve(before, decision=attrs.evolve(before.decision, state=RunState.RUNNING, reason=""))
    write_summary(run, summary_of(run, driver.frozen, begun))
    log = open(os.path.join(run.path, "driver.log"), "ab")  # noqa: SIM115 - the driver writes on
    code = run.frozen().code
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in (code, os.environ.get("PYTHONPATH")) if p))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hpcurate.runs.driver", run.path],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
    )  # fmt: skip
    run.note_driver(ProcessIdentity.of(process.pid))
    echo(f"a driver carries on in the background; its log: {log.name}")
    return Outcome(run, RunState.RUNNING, summary_of(run, driver.frozen, begun))


def _tell_intake(intake: Intake, echo: Echo) -> None:
    grown = f", {intake.new} of them new" if 0 < intake.new < intake.tasks else ""
    echo(f"input: {intake.tasks} tasks{grown}")
    for what, names in (("changed since they were taken in", intake.changed), ("no longer there", intake.vanished)):
        if names:
            echo(f"input: {len(names)} files {what}, e.g. {names[0]!a}; their old results stay")


class Progress:
    """One line a stage whenever something moved, at most every second or so."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._told: dict[str, tuple[int, int]] = {}

    def __call__(self, views: tuple[StageView, ...]) -> None:
        """Tell what changed."""
        for view in views:
            counts = view.counts
            now = (counts.shards_done, counts.failed)
            if counts.shards is None or self._told.get(view.name) == now:
                continue
            self._told[view.name] = now
            failed = f", {counts.failed} failed" if counts.failed else ""
            self._echo(
                f"{view.name}: {counts.shards_done}/{counts.shards} shards, "
                f"{counts.tasks_in} in, {counts.tasks_out} out, {counts.dropped} dropped{failed}"
            )


class _sigterm_as_interrupt:
    """While the driver stays, SIGTERM hands the work back as Ctrl-C does."""

    def __enter__(self) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        try:
            self._before = signal.signal(signal.SIGTERM, interrupt)
        except ValueError:  # not the main thread: a notebook's or a test's business
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


__all__ = ["Outcome", "Request", "check", "execute", "run"]
