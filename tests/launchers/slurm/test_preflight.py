"""What the site would refuse, or never start, is refused before it is submitted. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from planned import planned

from hpcurate.planning.plan import worker_shape
from launchers.slurm import SlurmLauncher
from launchers.slurm.facts import PartitionFacts, SiteFacts
from launchers.slurm.preflight import Asked, asked_of, gate_problems, option_problems, problems, store_problem

FACTS = SiteFacts(
    partitions=(
        PartitionFacts(name="cpu", max_minutes=60, cpus=16, memory_mb=20000),
        PartitionFacts(name="gpu", cpus=8, memory_mb=8000, gpus=4, accounts=("lab",)),
        PartitionFacts(name="down", up=False),
    ),
    default="cpu",
)
FITS = {"partition": None, "minutes": 60, "cpus": 16, "memory_mb": 20000, "gpus": 0}
ASKED = [
    ({}, ""),
    ({"minutes": 61}, "stages.s.resources.time=61 min: partition cpu allows 60 min; set stages.s.resources.time=60m"),
    ({"cpus": 17}, "stages.s.resources.cpus: one worker asks for 17 cores, the largest node of partition cpu has 16"),
    ({"memory_mb": 20001}, "stages.s.resources.memory: one worker asks for 20001 MB"),
    ({"gpus": 1}, "stages.s.resources.gpus: one worker asks for 1 GPUs, the largest node of partition cpu has 0"),
    ({"partition": "gpu", "cpus": 8, "memory_mb": 8000, "gpus": 4, "minutes": 9999}, ""),
    (
        {"partition": "gpu", "cpus": 8, "memory_mb": 8000, "account": "me"},
        "partition gpu takes the accounts lab, not me",
    ),
    ({"partition": "gpy"}, "partition gpy: there is no such partition; did you mean 'gpu'?"),
    ({"partition": "down"}, "partition down is not up; these are: cpu, gpu"),
    ({"partition": "down,cpu"}, ""),
    ({"partition": "gpu,cpu", "minutes": 61, "cpus": 9}, "partition gpu has 8"),
]


@pytest.mark.parametrize(("changes", "refusal"), ASKED)
def test_what_the_site_would_refuse_is_refused_with_the_fix(changes: dict[str, Any], refusal: str) -> None:
    """Key, what was asked, what there is; of several partitions one must do."""
    found = problems({"s": Asked(**{**FITS, **changes})}, FACTS)
    assert (bool(refusal), True) == (bool(found), refusal in "".join(found))


def test_a_site_without_a_default_partition() -> None:
    """Needs one to be named."""
    assert ["launcher.partition: the site has no default; there are: a"] == problems(
        {"s": Asked(**FITS)}, SiteFacts(partitions=(PartitionFacts(name="a"),))
    )


def test_unknown_sizes_refuse_nothing() -> None:
    """A partition whose nodes sinfo does not show."""
    assert [] == problems(
        {"s": Asked(**{**FITS, "gpus": 9})}, SiteFacts(partitions=(PartitionFacts(name="x"),), default="x")
    )


def test_ones_own_spelling_of_options_counts() -> None:
    """`sbatch.gres`, `sbatch.time`, `sbatch.mem` at the place of use."""
    stage = planned(sbatch={"gres": "gpu:h100:3", "time": "2:00:00", "mem": "9GB", "partition": "p"})
    asked = asked_of(SlurmLauncher(account="a").settings.of_stage(stage, worker_shape(stage), 120))
    assert Asked(partition="p", minutes=120, cpus=1, memory_mb=asked.memory_mb, gpus=3, account="a") == asked
    assert 8000 < asked.memory_mb < 9500


STORES = [
    ("/shared/s", ["/tmp"], True, "/shared/s", None),
    ("/tmp/s", ["/scratch", "/tmp/"], None, None, "which is each node's own disk"),
    ("/tmpfoo/s", ["/tmp"], None, None, None),
    ("/home/s", [], False, "/home/s", "did not see it"),
    ("/other/s", [], False, "/home/s", None),
    ("/s/a\nb", [], None, None, "store='/s/a\\nb': a path with a backslash, a line break"),
    ("/s/a\\b", [], None, None, "name another folder"),
    ("/s/100%j it's", [], None, None, None),
]


@pytest.mark.parametrize(("store", "local", "seen", "known", "refusal"), STORES)
def test_a_store_that_nodes_do_not_see_is_refused(
    store: str, local: list[str], seen: bool | None, known: str | None, refusal: str | None
) -> None:
    """As far as the profile shows; never wrongly."""
    found = store_problem(store, local, seen, known)
    assert (found is None) if refusal is None else (found is not None and refusal in found)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"comment": "a\nb"}, "stages.s: sbatch option comment='a\\nb': holds a line break"),
        ({"a\nb": "1"}, "holds a line break"),
        ({"job-name": "mine"}, "stages.s: sbatch option job-name=mine: hpcurate sets it itself; leave it out"),
        ({"array": "0-3"}, "hpcurate sets it itself"),
        ({"clusters": "b"}, "hpcurate sets it itself"),
        ({"comment": "a 100%j 'b'", "dependency": "afterok:7", "exclusive": True}, ""),
    ],
)
def test_options_that_cannot_be_set(options: dict[str, Any], refusal: str) -> None:
    """Before, a line break put words of its own into the script, and `clusters` sent jobs where nobody looked."""
    found = option_problems({"stages.s": options})
    assert (bool(refusal), True) == (bool(found), refusal in "".join(found))


def test_gates_need_a_partition_that_is_there() -> None:
    """Every one that is named; none need be."""
    refused = "launcher.gate.partition=cpu,gpy: there is no such partition; there are: cpu, gpu, down"
    assert [refused] == gate_problems({"partition": "cpu,gpy"}, FACTS)
    assert [] == gate_problems({"partition": "gpu"}, FACTS)
    assert [] == gate_problems({}, FACTS)
