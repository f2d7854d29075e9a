"""A stage on kept rows, as a run of its own in a scratch store: nothing is written where results belong."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError, StoreError
from hpcurate.golden.folder import Given, Placer
from hpcurate.golden.outcomes import Kept, Plain
from hpcurate.golden.texts import Reader
from hpcurate.golden.values import KeptFile, files_in
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step, WeightsOf
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Environment
from hpcurate.replay.saved import committed
from hpcurate.replay.source import KeptRows
from hpcurate.report.row_files import is_reference
from hpcurate.report.run_view import RunView
from hpcurate.runs.cancel import cancel
from hpcurate.runs.commands import verb as typed
from hpcurate.runs.folder import Run
from hpcurate.runs.prepare import Request
from hpcurate.runs.start import start
from hpcurate.spec import find_task
from hpcurate.stage import Stage
from hpcurate.store.layout import Store

__all__ = ["BUILT", "Ground", "NotDone", "run_stage"]

PREFIX = "given-000000000000/shards/0/0/files"
"""Where the files of given rows stand below `stages/`: the form that references of files have."""
BUILT = ("weights", "envs", "packs", "runtime")
"""Folders of a store with what was fetched and built, which serves a replay, too."""


class NotDone(StoreError):
    """The stage could not be run to its end."""


@attrs.define(frozen=True, kw_only=True)
class Ground:
    """Where and with what a stage runs."""

    scratch: str
    """Folder of the scratch store."""
    store: str
    """The store that has weights and environments; empty: there is none."""
    launcher: dict[str, Any]
    weights: WeightsOf
    environments: Environments
    echo: Callable[[str], None]

    @property
    def output(self) -> str:
        """Where the stage writes what it would write outside of the store."""
        return os.path.join(self.scratch, "output")

    def prepare(self) -> None:
        """Links to what is built in the store."""
        os.makedirs(self.scratch, exist_ok=True)
        for name in BUILT:
            there = os.path.join(self.store, name)
            with suppress(FileExistsError):
                if self.store and os.path.isdir(there):
                    os.symlink(there, os.path.join(self.scratch, name))


def _written_in(folder: str) -> list[Plain]:
    """Files in a folder of results, as rows that can be compared."""
    paths = files_in(folder) if os.path.isdir(folder) else []
    return [{"id": os.path.relpath(path, folder), "file": KeptFile(path)} for path in paths]


class KeptEnvironments(Environments):
    """The environment that a run has resolved."""

    def __init__(self, store: str, kept: Environment) -> None:
        super().__init__(store, [])
        self._kept, self._root = kept, store

    def __call__(self, env: Any, to_node: bool) -> Environment:
        """See `EnvironmentOf`. A container sees the store of the run, in which the scratch one is."""
        words = tuple(word.replace("{store}", self._root) for word in self._kept.python)
        return msgspec.structs.replace(self._kept, python=words)

    def provide(self, echo: Callable[[str], None]) -> None:
        """It was provided for the run."""


def run_stage(
    name: str, stage: Stage[Any, Any], options: StageOptions, given: tuple[Given, ...], ground: Ground, *, copies: bool
) -> Kept:
    """What becomes of the given tasks. Raises UserError; NotDone where the stage stalls."""
    if len(given) > 1:
        kinds = ", ".join(one.kind.rpartition(":")[2] for one in given)
        raise ConfigError(f"{name}: joins tasks of several classes ({kinds}); hpcurate.testing.check_golden replays it")
    ground.prepare()
    store = Store.at(ground.scratch)
    placer = Placer(store.stages, PREFIX, copies)
    source = KeptRows(find_task(given[0].kind), tuple(placer.rows(given[0])))
    request = Request(
        name="replay",
        source=source,
        steps=lambda output: {name: Step(stage, options)},
        store=store.root,
        output=ground.output,
        launcher=ground.launcher,
        weights=ground.weights,
        environments=ground.environments,
        epochs=Epochs(store.root),
        wait=True,
        budget=Budget(failed=float("inf")),
    )
    _drive(request, ground)
    view = RunView(_run_in(store))
    _check_done(view, name)
    reader = Reader(store.stages, is_reference, placer.texts, ground.output)
    planned = view.frozen.pipeline.stage(name)
    found = committed(view.committed(planned), view.retried(planned), reader)
    return attrs.evolve(found, written=_written_in(ground.output))


def _drive(request: Request, ground: Ground) -> None:
    """Jobs of a replay that was interrupted are of no use to anybody."""
    begun: list[Run] = []
    try:
        start(request, echo=ground.echo, opened=begun.append)
    except KeyboardInterrupt:
        for run in begun:
            with suppress(Exception):
                cancel(run)
        raise


def _run_in(store: Store) -> Run:
    return Run.at(os.path.realpath(os.path.join(store.runs, "latest")))


def _check_done(view: RunView, name: str) -> None:
    report = view.look()
    if not report.stages[name].complete:  # one in which every task failed is, too
        why = typed("why", report.run, view.run.store.root)
        raise NotDone(f"{name}: the replay is {report.state.value}: {report.reason}; type {why}")
