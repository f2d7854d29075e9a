"""What a store takes up on disk: by stage, by run, and by what else there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from hpcurate.runs.references import References, read_references
from hpcurate.store.layout import Store
from hpcurate.store.usage import Meter, Usage

__all__ = ["DiskUse", "RunUse", "StageUse", "disk_use"]

STAGES, RUNS, OTHER = "stages", "runs", "other"


@attrs.define(frozen=True, kw_only=True)
class StageUse:
    """One stage's folder."""

    folder: str
    usage: Usage
    runs: tuple[str, ...]
    """Those that refer to it."""


@attrs.define(frozen=True, kw_only=True)
class RunUse:
    """One run: its own folder, and stages."""

    run: str
    usage: Usage
    """Of its folder: logs, code, and its result where that lies there."""
    alone: Usage
    """Of the stages to which no other run refers."""
    shared: Usage
    """Of those to which another one refers, too."""


@attrs.define(frozen=True, kw_only=True)
class DiskUse:
    """All of a store. What is in `stages` and `runs` is in `places`, too, and all of these are the total."""

    store: str
    stages: tuple[StageUse, ...]
    runs: tuple[RunUse, ...]
    places: dict[str, Usage]
    """Of each folder at the root, and of the files there."""
    total: Usage

    def plain(self) -> dict[str, Any]:
        """What `hpcurate du --json` prints."""
        return attrs.asdict(self)


def disk_use(store: Store, progress: Callable[[str], None] = lambda place: None) -> DiskUse:
    """Look at every file of a store once. The sums are those of `du -s`, as long as nobody writes meanwhile."""
    meter, references = Meter(), read_references(store)
    found = {place: _by_entry(meter, os.path.join(store.root, place), progress) for place in (STAGES, RUNS)}
    places = {place: _sum(usages.values()) for place, usages in found.items()}
    for place in sorted(set(os.listdir(store.root)) - places.keys()):
        progress(place)
        path = os.path.join(store.root, place)
        name = place if os.path.isdir(path) and not os.path.islink(path) else OTHER
        places[name] = _sum([places.get(name, Usage()), meter.measure(path)])
    places[OTHER] = _sum([places.get(OTHER, Usage()), meter.measure(store.root, below=False)])
    stages = {name: usage for name, usage in found[STAGES].items() if name in references.stages}
    return DiskUse(
        store=store.root,
        stages=tuple(StageUse(folder=f, usage=usage, runs=references.runs_of(f)) for f, usage in stages.items()),
        runs=tuple(_run(run, found[RUNS].get(run, Usage()), stages, references) for run in references.runs),
        places=places,
        total=_sum(places.values()),
    )


def _by_entry(meter: Meter, folder: str, progress: Callable[[str], None]) -> dict[str, Usage]:
    """Each entry of a folder, and under `.` the folder itself."""
    found = {".": meter.measure(folder, below=False)}
    for name in sorted(os.listdir(folder)):
        progress(name)
        found[name] = meter.measure(os.path.join(folder, name))
    return found


def _run(run: str, usage: Usage, stages: dict[str, Usage], references: References) -> RunUse:
    alone, shared = Usage(), Usage()
    for folder, size in stages.items():
        runs = references.runs_of(folder)
        if run in runs:
            (alone if len(runs) == 1 else shared).add(size)
    return RunUse(run=run, usage=usage, alone=alone, shared=shared)


def _sum(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total.add(usage)
    return total
