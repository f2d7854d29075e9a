"""Partitions, times, GPUs, jobs: read from what Slurm's clients print. Pure."""

from __future__ import annotations

import pytest

from launchers.slurm.facts import PartitionFacts, SiteFacts, gpus_of, largest_nodes, read_facts, slurm_minutes
from launchers.slurm.queue import found_jobs


def test_facts_are_read_from_what_slurm_prints() -> None:
    """Partitions, limits, the largest node of each."""
    facts = read_facts(
        "MaxArraySize            = 4\n",
        "PartitionName=a Default=YES MaxTime=2-01:30:00 State=UP AllowAccounts=x,y PreemptMode=REQUEUE\n"
        "PartitionName=b MaxTime=UNLIMITED State=DOWN\n",
        "a|16|20000|(null)|idle\na|8|40000+|gpu:a100:4(S:0-1)|down\nb|1|1|gpu:2|mix\n",
    )
    assert facts == SiteFacts(
        max_array=4,
        default="a",
        partitions=(
            PartitionFacts(name="a", nodes=1, max_minutes=2970, cpus=16, memory_mb=40000, gpus=4, accounts=("x", "y"), preempt_mode="REQUEUE"),
            PartitionFacts(name="b", nodes=1, up=False, cpus=1, memory_mb=1, gpus=2),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "minutes"), [("30:00", 30), ("1:00:59", 60), ("7", 7), ("3-00:00:00", 4320), ("UNLIMITED", None)]
)
def test_slurms_times(text: str, minutes: int | None) -> None:
    """As scontrol prints them."""
    assert minutes == slurm_minutes(text)


@pytest.mark.parametrize(
    ("gres", "count"), [("(null)", 0), ("gpu:4", 4), ("gpu:a100:2,gpu:b:1", 3), ("gpu", 1), ("fs:1,gpu:x:8(S:0)", 8)]
)
def test_slurms_gpus(gres: str, count: int) -> None:
    """As sinfo prints them."""
    assert count == gpus_of(gres)


def test_the_largest_node_need_not_be_one_node() -> None:
    """Most cores and most memory may stand on two; then Slurm itself refuses."""
    assert {"a": (16, 90, 0)} == largest_nodes("a|16|10|(null)\na|1|90|(null)\n")


def test_a_job_is_found_once_and_by_its_whole_name() -> None:
    """In the queue and in what accounting remembers; elements count as their array. Another's name is longer."""
    assert ("7", "9") == found_jobs("a-r1", "7|a-r1\n7|a-r1\n8|a-r1-b\n", "7_0|a-r1\n9_[1-3]|a-r1\n5|x|a-r1\n6|a-r\n")
    assert () == found_jobs("a", "", "")
