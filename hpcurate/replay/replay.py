"""A replay from beginning to end: what was kept, what the code of now makes of it, and in what that differs."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import conf_folders, read_yaml
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import FULL_ERRNOS, ConfigError, PipelineError
from hpcurate.golden.files import FileComparer
from hpcurate.golden.folder import Given, Golden, read_golden, write_golden
from hpcurate.golden.outcomes import Comparison, Kept, compare, unknown_fields
from hpcurate.golden.rules import Rules
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import weights_of
from hpcurate.planning.build import WeightsOf
from hpcurate.planning.pipeline import WeightsRef
from hpcurate.replay.chosen import Which
from hpcurate.replay.saved import Saved, is_remote, missing_class, plan_of, saved
from hpcurate.replay.small_run import Ground, KeptEnvironments, NotDone, run_stage
from hpcurate.replay.stage import KeptStage
from hpcurate.report.run_view import RunView
from hpcurate.runs.code import merge_packages
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.spec import from_spec
from hpcurate.stage import members
from hpcurate.units import plural

REPLAYS = "replays"
"""Folder of a store for scratch stores that jobs see."""
__all__ = ["Replay", "Replayed", "replay"]


@attrs.define(frozen=True, kw_only=True)
class Replay:
    """What is asked for."""

    stage: str
    run: Run | None = None
    """None: the golden folder has all that is needed."""
    which: Which = Which()
    golden: str | None = None
    save: bool = False
    """Keep what the stage gives now in the golden folder."""
    rules: Rules = Rules()
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    """Settings and parameters of the stage that are other ones now."""
    frozen: bool = False
    """With the code that the run has kept, instead of that of now."""
    launcher: Mapping[str, Any] = attrs.field(factory=dict)
    """`_target_` and parameters."""
    work: str | None = None
    """Folder of the scratch store, which stays; None: one that does not."""
    store: str = ""
    """The store that has weights and environments, where there is no run."""
    echo: Callable[[str], None] = lambda line: None


@attrs.define(frozen=True, kw_only=True)
class Replayed:
    """What came of it."""

    stage: str
    tasks: int
    of: int
    """So many could be replayed."""
    compared_with: str
    """Name of the run, or the golden folder."""
    code: str
    """File of the stage's class."""
    before: Kept
    now: Kept
    comparison: Comparison
    notes: tuple[str, ...]
    """What could not be compared."""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        names = ("stage", "tasks", "of", "compared_with", "code", "notes")
        return {**{name: getattr(self, name) for name in names}, **self.comparison.plain()}


@attrs.define(frozen=True)
class _Before:
    """What was kept."""

    stage: KeptStage
    given: tuple[Given, ...]
    tasks: int
    of: int
    where: str
    kept: Callable[[Kept], Kept]
    """From what becomes of the tasks now to what became of them before."""
    copies: bool
    """Whether files of the input are copies, too."""
    notes: tuple[str, ...] = ()


def replay(asked: Replay) -> Replayed:
    """Run the stage on what it was given, and compare. Raises UserError before anything is started; NotDone."""
    _check(asked)
    with _scratch(asked) as scratch:
        before = _of_golden(asked) if _reads_golden(asked) else _of_run(asked)
        output = os.path.join(scratch, "output")
        stage, options = before.stage.made(asked.changes, output)
        ground = Ground(
            scratch=scratch,
            store=asked.run.store.root if asked.run else asked.store,
            launcher=dict(asked.launcher),
            weights=_weights(asked, before.stage),
            environments=_environments(asked, before.stage),
            echo=asked.echo,
        )
        if ground.environments.__class__ is KeptEnvironments:
            options = attrs.evolve(options, env="that of the run")
        now = run_stage(before.stage.name, stage, options, before.given, ground, copies=before.copies)
        comparer = FileComparer(asked.rules)
        kept = before.kept(now)
        seen = attrs.evolve(now, written=()) if is_remote(before.stage.output) else now
        comparison = compare(kept, seen, asked.rules, comparer)
        if asked.save and asked.golden:
            write_golden(asked.golden, Golden(before.stage.plain(), before.given, now))
        return Replayed(
            stage=before.stage.name,
            tasks=before.tasks,
            of=before.of,
            compared_with=before.where,
            code=getattr(sys.modules.get(type(members(stage)[0]).__module__), "__file__", None) or "",
            before=kept,
            now=now,
            comparison=comparison,
            notes=(*before.notes, *_notes(comparer), *unknown_fields(asked.rules, kept, seen)),
        )


def _check(asked: Replay) -> None:
    if asked.save and not asked.golden:
        raise ConfigError("--save: in which folder? add --golden FOLDER")
    if asked.run is None and not asked.golden:
        raise ConfigError("which tasks? name a run, --of RUN, or a golden folder, --golden FOLDER")
    if asked.frozen and asked.run is None:
        raise ConfigError("--frozen: is the code that a run has kept; name the run, --of RUN")
    if _reads_golden(asked) and asked.which != Which():
        raise ConfigError(f"--tasks: {asked.golden} has its own tasks; to choose others: --of RUN --tasks … --save")


def _reads_golden(asked: Replay) -> bool:
    """Whether the tasks are those of the golden folder; else they are the run's, and may become it."""
    if asked.golden is None:
        return False
    return asked.run is None or not asked.save


@contextmanager
def _scratch(asked: Replay) -> Iterator[str]:
    """The folder of the scratch store: one that was named stays, and so does any in which something went wrong."""
    if asked.work is not None:
        folder = os.path.abspath(os.path.expanduser(asked.work))
        if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
            raise ConfigError(f"--work {asked.work}: is not empty; name a new folder")
        yield folder
        return
    folder = _folder_for(asked)
    try:
        yield folder
    except NotDone:
        raise  # whoever asks why it stalled finds its logs
    except BaseException as error:
        _remove(folder)
        if isinstance(error, OSError) and error.errno in FULL_ERRNOS and error.filename2 is not None:
            error.filename = error.filename2  # a copy: that is where there was no room
        raise
    _remove(folder)


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.basename(os.path.dirname(folder)) == REPLAYS:
        with suppress(OSError):  # others are at work
            os.rmdir(os.path.dirname(folder))


def _folder_for(asked: Replay) -> str:
    """On this machine; in the store where jobs on other nodes, or a container, see nothing else."""
    here = asked.launcher.get("_target_") in (LAUNCHERS["inline"], LAUNCHERS["local"])
    container = asked.run is not None and any(s.env.container for s in asked.run.frozen().pipeline.stages)
    store = asked.run.store.root if asked.run else asked.store
    if (here and not container) or not store:
        return tempfile.mkdtemp(prefix="hpcurate-replay-")
    folder = os.path.join(store, REPLAYS, secrets.token_hex(4))
    os.makedirs(folder, mode=0o700)
    return folder


# -- what was kept --------------------------------------------------------------------------------------


def _of_golden(asked: Replay) -> _Before:
    assert asked.golden is not None, "asked for one"
    golden = read_golden(asked.golden)
    stage = KeptStage.of_plain(golden.stage)
    if stage.name != asked.stage:
        raise ConfigError(f"{asked.golden}: is of the stage {stage.name}, not {asked.stage}")
    if asked.run is not None:
        view = RunView(asked.run)
        of_run = plan_of(view, asked.stage)
        _use_code(asked, view)
        stage = attrs.evolve(KeptStage.of_plan(of_run, view.frozen.output or asked.run.output), spec=stage.spec)
    else:
        merge_packages()
    count = sum(len(one.rows) for one in golden.given)
    return _Before(stage, tuple(golden.given), count, count, asked.golden, lambda now: golden.kept, copies=True)


def _of_run(asked: Replay) -> _Before:
    assert asked.run is not None, "asked for one"
    view = RunView(asked.run)
    planned = plan_of(view, asked.stage)
    folder = _use_code(asked, view)
    try:
        found: Saved = saved(view, planned, from_spec(planned.spec), asked.which)
    except PipelineError as error:
        raise missing_class(error, asked.stage, folder) from None
    stage = KeptStage.of_plan(planned, view.frozen.output or asked.run.output)
    missing = f"{plural(found.missing, 'shard')} of {asked.stage}: not committed yet, so their tasks are left out"
    remote = f"files that {asked.stage} writes to {stage.output}: not compared"
    notes = tuple(
        note
        for note, said in (
            (missing, found.missing),
            (remote, stage.publishes and is_remote(stage.output)),
        )
        if said
    )
    return _Before(stage, found.given, found.tasks, found.of, asked.run.name, found.kept, copies=False, notes=notes)


def _use_code(asked: Replay, view: RunView) -> str:
    """Let the stage's classes be found: here first, then where the run's command was typed. That folder."""
    folder = view.frozen.command.folder
    if asked.frozen:
        sys.path.insert(0, view.frozen.code)
    elif folder and os.path.isdir(folder):
        files = _loose_files(view.run, asked.stage)
        sys.path += [folder, *(os.path.dirname(os.path.join(folder, os.path.expanduser(one))) for one in files)]
    merge_packages()
    return folder


def _loose_files(run: Run, stage: str) -> list[str]:
    """`.py` files that hold the stage, or members of it."""
    path = os.path.join(run.path, "config.yaml")
    config = read_yaml(Path(path)) if os.path.exists(path) and os.path.getsize(path) else {}
    found, waiting = list[str](), [(config.get("stages") or {}).get(stage)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += list(value.values())
            found += [value["file"]] if isinstance(value.get("file"), str) and value["file"].endswith(".py") else []
        elif isinstance(value, list):
            waiting += value
    return found


# -- with what it runs ----------------------------------------------------------------------------------


def _weights(asked: Replay, stage: KeptStage) -> WeightsOf:
    """Those of the run; else those that the store has."""
    if asked.run is None:
        return weights_of(asked.store, read_registry(conf_folders()), asked.echo)

    def found(name: str) -> WeightsRef:
        ref = next((one for one in stage.weights if name in one.names), None)
        if ref is None:
            raise ConfigError(f"model {name!r}: {stage.name} had none of that name in the run")
        return ref

    return found


def _environments(asked: Replay, stage: KeptStage) -> Environments:
    if asked.run is not None and stage.env is not None and "env" not in asked.changes and str(stage.env) != "current":
        return KeptEnvironments(asked.run.store.root, stage.env)
    return Environments(asked.run.store.root if asked.run else asked.store or os.curdir, env_folders())


def _notes(comparer: FileComparer) -> Iterator[str]:
    if comparer.gone:
        yield f"{plural(comparer.gone, 'file')} of before: no longer there, so not compared"
    for library in sorted(comparer.not_read):
        yield f"files were compared by their bytes alone: {library} is not installed here"
