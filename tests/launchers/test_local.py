"""`launcher=local`: how many workers a machine, or an allocation of it, has room for."""

from __future__ import annotations

import attrs
import msgspec
import pytest
from planned import planned

from hpcurate.stage import Resources
from hpcurate.system.allocation import Allocation
from launchers.local import Machine, least_used

BIG = Machine(cpus=64, memory_mb=256_000, gpus=4)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (Allocation(), BIG),
        (Allocation(cpus=8, memory_mb=16_000), Machine(8, 16_000, 4)),
        (Allocation(cpus=128, memory_mb=512_000), BIG),
    ],
)
def test_a_job_is_never_used_beyond_what_it_was_given(job: Allocation, expected: Machine) -> None:
    """Also where the site does not enforce it; and no more than the machine has."""
    assert expected == BIG.within(job)


@pytest.mark.parametrize(
    ("resources", "workers"),
    [
        (Resources(cpus=8, memory="2GB"), 8),
        (Resources(cpus=1, memory="100GB"), 2),
        (Resources(cpus=1, gpus=2, memory="1GB"), 2),
        (Resources(cpus=128, memory="1GB"), 1),
    ],
)
def test_workers_fit_by_what_is_scarcest(resources: Resources, workers: int) -> None:
    """One always runs: it then has the machine to itself."""
    assert workers == BIG.room_for(planned(resources=attrs.asdict(resources)))


def test_this_machine_is_one_node() -> None:
    """`workers_per_node`: so many stage processes, in one worker."""
    stage = planned(workers_per_node=3)
    assert (1, 3) == (BIG.room_for(stage), stage.processes)


@pytest.mark.parametrize(
    ("taken", "wanted", "expected"),
    [
        ([], 1, ("GPU-a",)),
        ([(("GPU-a",), 1.0)], 1, ("GPU-b",)),
        ([(("GPU-a",), 0.25)], 0.25, ("GPU-b",)),
        ([(("GPU-a",), 0.25), (("GPU-b",), 0.5), (("MIG-c",), 0.5)], 0.25, ("GPU-a",)),
        ([(("GPU-a", "GPU-b"), 2.0)], 2, ("GPU-a", "MIG-c")),
        ([], 2, ("GPU-a", "GPU-b")),
        ([], 0.25 * 4, ("GPU-a",)),
    ],
)
def test_workers_of_one_machine_take_the_gpus_that_are_used_least(
    taken: list[tuple[tuple[str, ...], float]], wanted: float, expected: tuple[str, ...]
) -> None:
    """Before, all of them used the first."""
    assert expected == least_used(("GPU-a", "GPU-b", "MIG-c"), taken, wanted)


def test_a_stage_on_the_cpu_waits_for_no_gpu() -> None:
    """Whatever it asks a cluster for."""
    stage = planned(device="cpu", resources={"gpus": 1, "cpus": 32, "memory": "1GB"})
    assert 2 == msgspec.structs.replace(BIG, gpus=0).room_for(stage)
