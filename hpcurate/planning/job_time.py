"""`resources.time=auto`: jobs as short as the work allows, which a scheduler fits into gaps (backfill). Pure."""

from __future__ import annotations

import math

import attrs
import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.units import AUTO, UNKNOWN_MINUTES

SHORTEST_S, LONGEST_S = 600.0, 4 * 3600.0
"""Of a job, where one shard does not need more: each job costs a start and a setup."""
STEP_S = 300.0
"""A time is a multiple of this, so that a profile of jobs has few kinds."""
START_S = 120.0
"""Start of the worker, and setup of the stage."""
MARGIN = 2.0
"""More than the margin with which a worker begins a shard, so that it begins the heaviest in any case."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a stage."""

    weight: float = 0.0
    heaviest: float = 0.0
    """Weight of one shard."""
    seconds_per_weight: float = 0.0
    """What committed shards took in a stage process; 0: nothing is known."""


def with_time(stage: PlannedStage, load: Load, workers: int, most_s: float, least_s: float = 0.0) -> PlannedStage:
    """The stage, with a time instead of `auto`: at least `least_s`, and at most `most_s`; 0: any."""
    if stage.resources.time != AUTO:
        return stage
    seconds = max(job_seconds(load, workers * stage.processes), math.ceil(least_s / 60) * 60)
    minutes = max(1, math.floor((min(seconds, most_s) if most_s else seconds) / 60))
    return msgspec.structs.replace(stage, resources=attrs.evolve(stage.resources, time=f"{minutes}m"))


def job_seconds(load: Load, processes: int) -> float:
    """Enough for the heaviest shard, and for a share of the rest, but that in jobs of a few hours. Pure."""
    if not load.seconds_per_weight:
        return UNKNOWN_MINUTES * 60.0  # what is not done in it gets a round with more
    shard = START_S + MARGIN * load.heaviest * load.seconds_per_weight
    share = START_S + MARGIN * load.weight * load.seconds_per_weight / max(1, processes)
    wanted = max(SHORTEST_S, shard, min(share, LONGEST_S))
    return math.ceil(wanted / STEP_S) * STEP_S
