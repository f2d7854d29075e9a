"""What a stage process finds in its environment."""

from __future__ import annotations

from typing import Any

import pytest
from unit_stages import Tuned, numbers

from hpcurate.planning.build import Step, build
from hpcurate.planning.plan import Plan
from hpcurate.source import Items
from hpcurate.stage import WorkerInfo
from hpcurate.worker.hosts.command import stage_variables

PLAN = Plan(
    stage=build("p", Items(numbers(1)), {"tuned": Step(Tuned())}).stages[0],
    run="r", store="/store", lists=(), round=1, workers=1,
)  # fmt: skip


def found(**fields: Any) -> dict[str, str]:
    """For a process that is told this."""
    return stage_variables(PLAN, WorkerInfo(index=0, process=0, cpus=1, **fields))


@pytest.mark.parametrize("tokens", ["0", "2,3", "GPU-8a5b6c7d-0000-1111-2222-333344445555", "MIG-c6d4f1ef-42e4-5de3"])
def test_devices_are_passed_on_as_the_scheduler_named_them(tokens: str) -> None:
    """Never counted or translated: only the driver knows what they mean."""
    assert tokens == found(device="cuda", gpus=tuple(tokens.split(",")))["CUDA_VISIBLE_DEVICES"]


def test_a_stage_on_the_cpu_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it used one that its node happened to have: another process's, perhaps."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "" == found(device="cpu")["CUDA_VISIBLE_DEVICES"]


def test_where_nobody_named_devices_none_is_hidden() -> None:
    """A workstation's driver shows all that it has."""
    assert "CUDA_VISIBLE_DEVICES" not in found(device="cuda")
