"""What `hpcurate clean` and `hpcurate rm` say: what may go, how much that is, and which runs are old."""

from __future__ import annotations

import os
import time
from typing import Any

import attrs

from hpcurate.runs.clean import Cleaner, Removable
from hpcurate.runs.folder import Run, run_names
from hpcurate.runs.references import read_references
from hpcurate.store.layout import Store
from hpcurate.store.usage import Meter, Usage

__all__ = ["Cleanable", "OldRun", "cleanable", "left_by"]

DAY_S = 86400.0


@attrs.define(frozen=True, kw_only=True)
class OldRun:
    """A run whose command was not typed for longer than the site keeps runs."""

    run: str
    days: int


@attrs.define(frozen=True, kw_only=True)
class Cleanable:
    """What may go of a store."""

    store: str
    stages: dict[str, Usage]
    """Folder of a stage to which nothing refers → what it takes up."""
    attempts: int
    """Folders that attempts have left."""
    trash: int
    """Entries of the trash that are old, or that an earlier clean has left."""
    bytes: int
    """That are freed with all of these: a file that has a name elsewhere stays."""
    inodes: int
    kept: tuple[str, ...]
    """What would go but for something, in words."""
    old_runs: tuple[OldRun, ...]

    @property
    def anything(self) -> bool:
        """Whether there is something to remove."""
        return bool(self.stages or self.attempts or self.trash)

    def plain(self) -> dict[str, Any]:
        """What `hpcurate clean --json` prints."""
        return attrs.asdict(self)


def cleanable(store: Store, *, trash_s: float, runs_s: float | None) -> Cleanable:
    """Look, and measure what may go. Writes nothing."""
    found = Cleaner(store, trash_s=trash_s).look(time.time())
    return _measured(store, found, _old_runs(store, runs_s) if runs_s else ())


def left_by(store: Store, run: str) -> dict[str, Usage]:
    """Stage folders to which only this run refers, with what they take up."""
    references, meter = read_references(store), Meter()
    alone = [folder for folder in references.stages if references.runs_of(folder) == (run,)]
    return {folder: meter.measure(store.stage(folder).path) for folder in alone}


def _measured(store: Store, found: Removable, old_runs: tuple[OldRun, ...]) -> Cleanable:
    meter = Meter()
    stages = {folder: meter.measure(store.stage(folder).path) for folder in found.stages}
    in_trash = [os.path.join(store.trash, name) for name in (*found.trash, *found.probation)]
    rest = [meter.measure(path) for path in (*(path for _, path in found.attempts), *in_trash)]
    return Cleanable(
        store=store.root,
        stages=stages,
        attempts=len(found.attempts),
        trash=len(in_trash),
        bytes=sum(usage.bytes for usage in (*stages.values(), *rest)) - meter.elsewhere,
        inodes=sum(usage.inodes for usage in (*stages.values(), *rest)),
        kept=found.kept,
        old_runs=old_runs,
    )


def _old_runs(store: Store, runs_s: float) -> tuple[OldRun, ...]:
    """One's own: by when their latest call was frozen. Days, so that clocks need not agree by the minute."""
    found = []
    for name in run_names(store):
        age_s = time.time() - _called(Run(store, name))
        if age_s >= runs_s:
            found.append(OldRun(run=name, days=int(age_s / DAY_S)))
    return tuple(found)


def _called(run: Run) -> float:
    try:
        return os.stat(os.path.join(run.path, "pipeline.json")).st_mtime
    except OSError:
        return time.time()
