"""The most that a worker may have in any round, from what the site has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import limits_of, most_of
from hpcurate.verdict import Allowance
from launchers.slurm.facts import PartitionFacts, SiteFacts
from launchers.slurm.options import dashed
from launchers.slurm.preflight import Asked, asked_of


def most_there(stage: PlannedStage, options: Mapping[str, Any], facts: SiteFacts) -> Allowance:
    """See `Launcher.most`: the largest node and the limit of its partition; of several, what each of them takes.

    What a user asks of sbatch itself stays as it is, for it comes before what we ask.
    """
    asked, own = asked_of(options), dashed(stage.sbatch)
    names = str(asked.partition or facts.default or "").split(",")
    there = [partition for name in names if (partition := facts.named(name)) and _holds(partition, asked)]
    nodes = [partition.memory_mb for partition in there if partition.memory_mb]
    ends = [partition.max_minutes for partition in there if partition.max_minutes]
    most = most_of(stage, min(nodes, default=0), min(ends, default=0) * 60.0)
    if "mem" not in options or "mem" in own:
        most = msgspec.structs.replace(most, memory_mb=limits_of(stage).ordinary.memory_mb)
    return msgspec.structs.replace(most, seconds=asked.minutes * 60.0) if "time" in own else most


def nodes_there(options: Mapping[str, Any], facts: SiteFacts) -> int:
    """See `Launcher.nodes`: those of its partition that are not down; of several, of the largest."""
    names = str(options.get("partition") or facts.default or "").split(",")
    return max((partition.nodes for name in names if (partition := facts.named(name))), default=0)


def _holds(partition: PartitionFacts, asked: Asked) -> bool:
    """Whether it takes an ordinary worker."""
    fits = not partition.memory_mb or asked.memory_mb <= partition.memory_mb
    return fits and (partition.max_minutes is None or asked.minutes <= partition.max_minutes)
