"""Who refers to which stages of a store, by what runs and stages have written down themselves. Only reads.

A run is there as long as its folder is. Of another user's run, whose folder only its owner may read, the marks in the
stages' `wanted/` say what it refers to; of one's own, `pipeline.json` does, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

import attrs

from hpcurate.runs.folder import run_names
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import StageFolder, Store

__all__ = ["References", "live_stages", "read_references", "stage_names"]


@attrs.define(frozen=True, kw_only=True)
class References:
    """What refers to what, in one look."""

    runs: tuple[str, ...]
    """All that there are, also those of other users, oldest first."""
    stages: dict[str, tuple[str, ...]]
    """Stage folder → the runs that refer to it: sources, too."""
    upstream: dict[str, tuple[str, ...]]
    """Stage folder → folders that it reads."""
    unknown: tuple[str, ...] = ()
    """Stages whose `stage.json` cannot be read: nobody knows what they read."""

    @property
    def maybe_read(self) -> tuple[str, ...]:
        """Folders that one of the unknown may read: of those above it, a source or another stage."""
        return tuple(name for name in self.stages if name not in self.unknown) if self.unknown else ()

    def runs_of(self, folder: str) -> tuple[str, ...]:
        """Runs that refer to a stage, or to a source through a stage."""
        below = {folder}
        while True:
            more = {name for name, above in self.upstream.items() if below.intersection(above)} - below
            if not more:
                break
            below |= more
        return tuple(sorted({run for name in below for run in self.stages.get(name, ())}))


def live_stages(wanted: Iterable[str], upstream: Mapping[str, Iterable[str]]) -> set[str]:
    """These stages, and all that they are made from. Pure."""
    live, new = set[str](), set(wanted)
    while new:
        live |= new
        new = {above for folder in new for above in upstream.get(folder, ())} - live
    return live


def stage_names(store: Store, filesystem: Filesystem = POSIX) -> list[str]:
    """Folders of stages and of sources, sorted."""
    return sorted(name for name in filesystem.names(store.stages) if not name.startswith("."))


def read_references(store: Store, filesystem: Filesystem = POSIX) -> References:
    """Look into each stage's folder, and each run's."""
    folders = {name: store.stage(name) for name in stage_names(store, filesystem)}
    marks = {name: set(filesystem.names(folder.wanted)) for name, folder in folders.items()}
    marked = {run for found in marks.values() for run in found if os.path.isdir(store.run(run))}
    runs = tuple(sorted(marked.union(run_names(store, others=True))))  # a listing may be older than the newest run
    named = {run: _named_by(store.run(run), filesystem) for run in runs}
    return References(
        runs=runs,
        stages={name: tuple(run for run in runs if run in marks[name] or name in named[run]) for name in folders},
        upstream={name: upstream_of(folder, filesystem) for name, folder in folders.items()},
        unknown=tuple(name for name, folder in folders.items() if not _is_known(name, folder, filesystem)),
    )


def _is_known(name: str, folder: StageFolder, filesystem: Filesystem) -> bool:
    """Whether a stage says what it reads; a source reads nothing, and does not say so."""
    if name.startswith("source-"):
        return True
    with suppress(OSError, ValueError):
        return isinstance(json.loads(filesystem.read(folder.stage_json)), dict)
    return False


def upstream_of(folder: StageFolder, filesystem: Filesystem = POSIX) -> tuple[str, ...]:
    """Folders that a stage reads, as its `stage.json` has them; none of a source."""
    with suppress(OSError, ValueError, AttributeError, TypeError):
        return tuple(map(str, json.loads(filesystem.read(folder.stage_json)).get("upstream", ())))
    return ()


def _named_by(run: str, filesystem: Filesystem) -> frozenset[str]:
    """Folders that a run's `pipeline.json` names; none where it cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        pipeline = json.loads(filesystem.read(os.path.join(run, "pipeline.json")))["pipeline"]
        return frozenset([pipeline["source"]["folder"], *(stage["folder"] for stage in pipeline["stages"])])
    return frozenset()
