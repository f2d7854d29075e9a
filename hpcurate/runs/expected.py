"""What is left of a pipeline, in tasks, hours and disk: from what its stages have needed so far in this store.

A stage is judged by its own folder, else by the nearest one of the same class that has something committed. A few
shards of it are read, never all. Only reads, and fails nothing: what cannot be found out is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.explanation import near_folders
from hpcurate.runs.state import StageCounts
from hpcurate.store.layout import Store
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from hpcurate.world import World

__all__ = ["Expected", "Need", "expected_of", "needs_of", "total"]

SAMPLED = 48
"""Shards that are read of a stage, from a few fan-out folders."""
FANS = 4


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one task of a stage has needed, on average over the shards that were read."""

    folder: str
    shards: int
    seconds: float
    """Of a stage process."""
    bytes: float
    """On disk."""
    out: float
    """Tasks that it became."""

    @classmethod
    def of(cls, folder: str, shards: Sequence[ShardStats]) -> Need | None:
        """None where there was no task. Pure."""
        tasks = sum(one.tasks_in for one in shards)
        if not tasks:
            return None
        return cls(
            folder=folder,
            shards=len(shards),
            seconds=sum(one.seconds for one in shards) / tasks,
            bytes=sum(sum(one.files.values()) for one in shards) / tasks,
            out=sum(one.tasks_out for one in shards) / tasks,
        )


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a stage; None: unknown."""

    stage: str
    tasks: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    bytes: float | None = None
    by: Need | None = None
    """What it is judged by."""


def expected_of(
    stages: Sequence[PlannedStage], counts: Mapping[str, StageCounts], tasks: int | None, needs: Mapping[str, Need]
) -> list[Expected]:
    """Of each stage, in order: what comes to it is what the stages before it have returned, and will yet. Pure.

    `tasks`: of the source.
    """
    out: dict[str, float | None] = {}
    left: dict[str, float | None] = {}
    found = []
    for stage in stages:
        known, need = counts[stage.name], needs.get(stage.name)
        settled = stage.after and all(left[name] == 0 for name in stage.after) and known.shards == known.shards_done
        given = _sum(out[name] for name in stage.after) if stage.after else tasks
        rest = 0.0 if settled else None if given is None else max(0.0, given - known.tasks_in)
        more = 0.0 if rest == 0 else _times(rest, need.out if need else None)
        left[stage.name], out[stage.name] = rest, None if more is None else known.tasks_out + more
        found.append(_expected(stage, rest, need))
    return found


def _expected(stage: PlannedStage, left: float | None, need: Need | None) -> Expected:
    hours = 0.0 if left == 0 else _times(left, need.seconds / 3600 if need else None)
    disk = 0.0 if left == 0 else _times(left, need.bytes if need else None)
    return Expected(
        stage=stage.name,
        tasks=left,
        cpu_hours=_times(hours, stage.resources.cpus),
        gpu_hours=_times(hours, stage.gpus) if stage.gpus else 0.0,
        bytes=disk,
        by=need,
    )


def _times(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _sum(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def total(expected: Sequence[Expected]) -> Expected:
    """All together; unknown where any is. Pure."""
    return Expected(
        stage="total",
        cpu_hours=_sum(one.cpu_hours for one in expected),
        gpu_hours=_sum(one.gpu_hours for one in expected),
        bytes=_sum(one.bytes for one in expected),
    )


# -- the store --------------------------------------------------------------------------------------


def needs_of(store: Store, pipeline: Pipeline) -> dict[str, Need]:
    """Stage → what its tasks have needed, of those of which the store has something."""
    found = {}
    for name, folders in near_folders(store, pipeline).items():
        needs = (Need.of(folder, _sampled(World().stage(store, folder))) for folder in folders)
        if need := next((need for need in needs if need), None):
            found[name] = need
    return found


def _sampled(store: StageStore) -> list[ShardStats]:
    """A few committed shards of a stage."""
    found: list[ShardStats] = []
    with suppress(OSError):
        root = f"{store.folder.path}/shards"
        for fan in spread(sorted(store.filesystem.names(root)), FANS):
            _, names = store.commits.listing(fan)
            for shard in spread(sorted(names), SAMPLED // FANS):
                with suppress(OSError, ValueError, msgspec.MsgspecError):
                    found.append(store.commits.stats(shard))
    return found


def spread(names: Sequence[str], most: int) -> list[str]:
    """At most so many of them, over all their length. Pure."""
    if len(names) <= most:
        return list(names)
    return [names[round(place * (len(names) - 1) / (most - 1))] for place in range(most)]
