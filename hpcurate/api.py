"""`hpcurate.run(...)` and `hpcurate.open(...)`: the same engine from Python, without Hydra."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcurate.config_files import conf_folders
from hpcurate.environments.binds import parse_binds
from hpcurate.environments.files import env_folders
from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError
from hpcurate.models.registry import read_registry
from hpcurate.models.weights import weights_of
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.pipeline import Timing
from hpcurate.report.open_run import OpenRun
from hpcurate.report.run_view import RunView
from hpcurate.runs.caller import called_here
from hpcurate.runs.folder import Run, find_run
from hpcurate.runs.launcher import LAUNCHERS
from hpcurate.runs.prepare import Request
from hpcurate.runs.retry import Retry
from hpcurate.runs.start import start
from hpcurate.runs.start_retry import start_retry
from hpcurate.site_files import site_store
from hpcurate.source import Exclude, Items, Source, Undone
from hpcurate.source.compare import Edits
from hpcurate.stage import Stage
from hpcurate.store.layout import Store
from hpcurate.task import Task

__all__ = ["OpenRun", "open", "run"]


def run(  # noqa: PLR0913 - the one door from Python
    stages: Mapping[str, Stage[Any, Any] | Step] | Sequence[Stage[Any, Any]],
    source: Source | Iterable[Task],
    *,
    store: str | Path,
    store_mode: str | None = None,
    launcher: str | Mapping[str, Any] = "local",
    name: str = "pipeline",
    output: str | Path | None = None,
    wait: bool | None = None,
    limit: int | None = None,
    exclude: str | Sequence[str] = (),
    done: str | Callable[..., Any] | None = None,
    changed: str = "keep",
    vanished: str = "keep",
    rerun: Sequence[str] = (),
    keep: str = "all",
    binds: Sequence[str] = (),
    budget: Budget | None = None,
    timing: Timing | None = None,
    durability: str = "full",
    retry: Retry | None = None,
    echo: Callable[[str], None] = lambda line: None,
) -> OpenRun:
    """Run stages over a source.

    `stages` are in order, or a mapping of names to stages or `Step`s (a stage with options); `launcher` is
    `inline`, `local`, `slurm`, or a mapping with `_target_`. `limit` takes the first so many tasks only;
    `exclude` leaves out items by globs or names (`"*.tmp.mp4"`, `"@bad.txt"`), `done` those that another tool has
    done, by a pattern, names or a function;
    `changed="redo"` does items again that were edited, `vanished="drop"` leaves out those that are gone; `rerun`
    names stages to do again; `keep="results"` frees files that no stage needs any more; `durability="rename"`
    does not flush what workers commit; `binds` are folders that
    containers see, such as `["/data", "/scratch:/mnt/scratch:ro"]`; `retry` tries dead letters of a run of the store
    again, whose stages and source these are; `store_mode="group"` makes a new store its group's, too. Raises UserError
    before anything is written if something does not fit.
    """
    steps, root = _steps(stages), os.fspath(store)
    tasks: Source = source if hasattr(source, "identity") else Items(tuple(source))  # type: ignore[assignment]
    if exclude:
        tasks = Exclude(tasks, tuple([exclude] if isinstance(exclude, str) else exclude))
    if done is not None:
        tasks = Undone(tasks, done)
    request = Request(
        name=name,
        source=tasks,
        steps=lambda output: steps,
        store=root,
        store_mode=store_mode,
        output=None if output is None else os.fspath(output),
        launcher={"_target_": LAUNCHERS[launcher]} if isinstance(launcher, str) else dict(launcher),
        weights=weights_of(root, read_registry(conf_folders()), echo),
        environments=Environments(root, env_folders(), parse_binds(binds)),
        epochs=Epochs(root, rerun),
        wait=wait,
        limit=limit,
        edits=Edits(changed=changed, vanished=vanished),
        keep=keep,
        budget=budget or Budget(),
        timing=timing or Timing(),
        durability=durability,
        command=called_here(),
    )
    if retry is not None:
        outcome = start_retry(request, find_run(Store.at(root), retry.run), retry, echo=echo)
    else:
        outcome = start(request, echo=echo)
    return OpenRun(outcome.run, outcome.report)


def open(run: str | Path | None = None, store: str | Path | None = None) -> OpenRun:
    """A run that was started anywhere: by its name, a part of it or its folder; the latest of the store without one.

    `store` is the folder of the store; a path of a run in one has it. Raises StoreError listing the candidates.
    """
    given = None if run is None else os.fspath(run)
    found = find_run(_store_of(given, store), given)
    return OpenRun(found, RunView(found).look())


def _store_of(run: str | None, store: str | Path | None) -> Store:
    if store is not None:
        return Store.at(os.fspath(store))
    if run is not None and os.path.isdir(run):
        return Run.at(os.path.realpath(run)).store
    named = os.environ.get("HPCURATE_STORE") or site_store()[1]
    if named:
        return Store.at(os.path.expandvars(named))
    raise ConfigError('hpcurate.open: which store? type hpcurate.open(run, store="/scratch/me/curate")')


def _steps(stages: Mapping[str, Stage[Any, Any] | Step] | Sequence[Stage[Any, Any]]) -> dict[str, Step]:
    if not isinstance(stages, Mapping):
        names = [_snake(type(stage).__name__) for stage in stages]
        unique = [n if names.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(names)]
        stages = dict(zip(unique, stages, strict=True))
    return {name: stage if isinstance(stage, Step) else Step(stage) for name, stage in stages.items()}


def _snake(name: str) -> str:
    return "".join(("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name.lstrip("_")))
