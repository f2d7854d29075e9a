"""The most that a worker may have on a site. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from planned import planned

from hpcurate.planning.plan import worker_shape
from hpcurate.verdict import Allowance
from launchers.slurm.facts import PartitionFacts, SiteFacts, read_facts
from launchers.slurm.launcher import SlurmLauncher
from launchers.slurm.most import most_there, nodes_there
from launchers.slurm.options import without_nodes

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


def test_nodes_that_start_no_jobs_are_not_counted() -> None:
    """Nor those of other partitions; of several partitions those of the largest."""
    rows = "PartitionName=a Default=YES\nPartitionName=b\n"
    nodes = "".join(f"{name}|1|1||{state}\n" for name, state in [*STATES, ("b", "idle"), ("b", "mix")])
    facts = read_facts("", rows, nodes)
    assert [3, 2, 3, 0] == [nodes_there({"partition": name}, facts) for name in (None, "b", "a,b", "c")]


STATES = [("a", "idle"), ("a", "alloc"), ("a", "mix-"), ("a", "down*"), ("a", "drain"), ("a", "drng"), ("a", "fail")]


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "x,y"), ({"exclude": "z"}, "z,x,y"), ({"exclude": "z[1-2]"}, "z[1-2],x,y")]
)
def test_nodes_of_the_run_are_left_out_beside_those_of_the_user(own: dict[str, str], expected: str) -> None:
    """Which come from the stage, or from the launcher."""
    assert {**own, "exclude": expected} == without_nodes(own, ("x", "y"))
    assert own == without_nodes(own, ())


def test_a_partition_may_give_less_than_its_nodes_have() -> None:
    """`MaxMemPerNode`: sbatch would refuse the round."""
    row = "PartitionName=cpu MaxTime=1:00:00 State=UP MaxMemPerNode={}\n"
    found = [read_facts("", row.format(most), "cpu|8|9000|\n").partitions[0].memory_mb for most in (4000, "UNLIMITED")]
    assert [4000, 9000] == found
