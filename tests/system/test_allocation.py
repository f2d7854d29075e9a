"""What a process reads about the Slurm job that it is in. Pure."""

from __future__ import annotations

import pytest

from hpcurate.system.allocation import Allocation


def test_an_array_element() -> None:
    """All that a worker needs; of counts per node, the first."""
    environ = {
        "SLURM_JOB_ID": "43", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "0", "SLURM_RESTART_COUNT": "2",
        "SLURMD_NODENAME": "n7", "SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_CPUS_PER_NODE": "16(x2),8",
        "SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "9000", "SLURM_JOB_END_TIME": "1700000000",
    }  # fmt: skip
    assert Allocation.of(environ) == Allocation(
        job_id="43", array_job_id="42", array_task_id=0, restart_count=2, node_name="n7", nodes=3, cpus=16,
        cpus_on_node=8, memory_mb=9000, end_time=1700000000,
    )  # fmt: skip


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": "", "SLURM_CPUS_ON_NODE": "?", "SLURM_CONF": "/x"}])
def test_outside_a_job(environ: dict[str, str]) -> None:
    """Nothing is made up, also where a variable holds nothing that can be read."""
    assert Allocation() == Allocation.of(environ)


@pytest.mark.parametrize(
    ("environ", "memory"),
    [
        ({"SLURM_MEM_PER_CPU": "100", "SLURM_JOB_CPUS_PER_NODE": "4"}, 400),
        ({"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "2"}, 200),
        ({"SLURM_MEM_PER_CPU": "100"}, None),
        ({"SLURM_MEM_PER_NODE": "7", "SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "2"}, 7),
    ],
)
def test_memory_per_node_or_per_core(environ: dict[str, str], memory: int | None) -> None:
    """As the job asked for it."""
    assert memory == Allocation.of(environ).memory_mb
