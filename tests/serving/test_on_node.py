"""Which devices the processes of a server have."""

from __future__ import annotations

import pytest

from hpcurate.serving.on_node import beginning_at
from hpcurate.worker.supervisor import share_of_gpus


@pytest.mark.parametrize(
    ("devices", "first", "expected"),
    [
        (("0", "1", "2"), 0, ("0", "1", "2")),
        (("GPU-a", "GPU-b", "GPU-c"), 2, ("GPU-c", "GPU-a", "GPU-b")),
        (("0",), 3, ("0",)),
        ((), 3, ()),
    ],
)
def test_the_devices_of_a_step(devices: tuple[str, ...], first: int, expected: tuple[str, ...]) -> None:
    """Its own ones first."""
    assert expected == beginning_at(devices, first)


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize("gpus", [0.25, 0.5, 1.0, 2.0])
def test_no_process_of_three_workers_is_without_one(count: int, first: int, gpus: float) -> None:
    """Also of the second of two steps on a machine with one device, where both share it."""
    devices = beginning_at(tuple(map(str, range(count))), first)
    assert all(share_of_gpus(devices, worker, 3, gpus) for worker in range(3))
