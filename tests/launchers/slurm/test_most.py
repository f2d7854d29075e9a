"""The most that a worker may have on a site. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from planned import planned

from hpcurate.planning.plan import worker_shape
from hpcurate.verdict import Allowance
from launchers.slurm.facts import PartitionFacts, SiteFacts, read_facts
from launchers.slurm.launcher import SlurmLauncher
from launchers.slurm.most import most_there

FACTS = SiteFacts(
    default="cpu",
    partitions=(
        PartitionFacts(name="cpu", memory_mb=3000, max_minutes=120),
        PartitionFacts(name="long", memory_mb=2500, max_minutes=600),
        PartitionFacts(name="short", memory_mb=9000, max_minutes=10),
        PartitionFacts(name="free"),
    ),
)


@pytest.mark.parametrize(
    ("options", "memory_mb", "minutes"),
    [
        ({}, 3000, 120),
        ({"sbatch": {"partition": "long"}}, 2500, 600),
        ({"sbatch": {"partition": "free"}}, 4000, 0),
        ({"sbatch": {"partition": "cpu,long"}}, 2500, 120),
        ({"sbatch": {"partition": "short,long"}}, 2500, 600),
        ({"sbatch": {"mem": "2G"}}, 1000, 120),
        ({"sbatch": {"mem_per_cpu": "2G"}}, 1000, 120),
        ({"sbatch": {"time": "90"}}, 3000, 90),
        ({"sbatch": {"partition": "gone"}}, 4000, 0),
    ],
)
def test_what_there_is_depends_on_the_partition(options: dict[str, Any], memory_mb: int, minutes: int) -> None:
    """Of several that take the stage, what each of them has. What a user asks of sbatch itself is not raised."""
    stage = planned(resources={"memory": "1000MB", "time": "1h"}, **options)
    asked = SlurmLauncher().settings.of_stage(stage, worker_shape(stage), 120)
    assert Allowance(memory_mb=memory_mb, seconds=minutes * 60.0) == most_there(stage, asked, FACTS)


def test_a_partition_may_give_less_than_its_nodes_have() -> None:
    """`MaxMemPerNode`: sbatch would refuse the round."""
    row = "PartitionName=cpu MaxTime=1:00:00 State=UP MaxMemPerNode={}\n"
    found = [read_facts("", row.format(most), "cpu|8|9000|\n").partitions[0].memory_mb for most in (4000, "UNLIMITED")]
    assert [4000, 9000] == found
