"""What a stage process finds in its environment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit_stages import Tuned, numbers

from hpcurate.errors import StageError
from hpcurate.model import provide_weights, remote_code_allowed
from hpcurate.planning.build import Step, build
from hpcurate.planning.pipeline import WeightsRef
from hpcurate.planning.plan import Plan
from hpcurate.source import Items
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.device import check_share
from hpcurate.worker.hosts import hello_of
from hpcurate.worker.hosts.command import cache_variables, stage_variables
from hpcurate.worker.node_staging import Place
from hpcurate.worker.supervisor import share_of_memory

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


def test_gpus_are_numbered_as_slurm_numbers_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA numbers the fastest first: on a node with two kinds, `1` was another GPU than the one that was given."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert "PCI_BUS_ID" == found(device="cuda", gpus=("1",))["CUDA_DEVICE_ORDER"]
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert "FASTEST_FIRST" == found(device="cuda", gpus=("1",))["CUDA_DEVICE_ORDER"]


def test_a_stage_on_the_cpu_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it used one that its node happened to have: another process's, perhaps."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "" == found(device="cpu")["CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize(
    "name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "VLLM_NO_USAGE_STATS"]
)
def test_nobody_is_asked_over_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user says so."""
    monkeypatch.delenv(name, raising=False)
    assert "1" == found()[name]
    monkeypatch.setenv(name, "0")
    assert "0" == found()[name]


@pytest.mark.parametrize(
    ("device", "given", "expected"),
    [
        ("cuda", {}, "expandable_segments:True"),
        ("cuda", {"PYTORCH_ALLOC_CONF": "backend:native"}, None),
        ("cuda", {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, None),
        ("cpu", {}, None),
    ],
)
def test_gpu_memory_does_not_break_into_pieces(
    device: str, given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own setting stays, under its earlier name, too."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert expected == found(device=device).get("PYTORCH_ALLOC_CONF")


def test_caches_lie_on_the_node_apart_for_each_environment() -> None:
    """Before, all workers of an array compiled into one home directory. What the user has set stays."""
    given = {"TRITON_CACHE_DIR": "/mine"}
    expected = {
        "TORCHINDUCTOR_CACHE_DIR": "/node/.caches/abc/inductor",
        "CUDA_CACHE_PATH": "/node/.caches/abc/cuda",
        "VLLM_CACHE_ROOT": "/node/.caches/abc/vllm",
        "HF_MODULES_CACHE": "/node/.caches/abc/hf-modules",
    }
    assert expected == cache_variables("/node", "abc", given)
    assert "/node/.caches/own/triton" == cache_variables("/node", "", {})["TRITON_CACHE_DIR"]


def test_code_of_a_model_runs_only_where_its_entry_says_so() -> None:
    """By each of the model's names; what one process was given is not another's."""
    models = (WeightsRef(("a", "lab/a"), "a@1", "a", None, True), WeightsRef(("b",), "b@1", "b"))
    plan = msgspec.structs.replace(PLAN, stage=msgspec.structs.replace(PLAN.stage, weights=models))
    hello = hello_of(plan, WorkerInfo(index=0, process=0, cpus=1), Place(folder="/node"), {})
    provide_weights({}, None, hello.remote_code)
    assert (True, True, False) == tuple(remote_code_allowed(name) for name in ("a", "lab/a", "b"))
    provide_weights({})
    assert not remote_code_allowed("a")


@pytest.mark.parametrize(("gpus", "share"), [(0.25, 0.25), (1, 1.0), (2, 1.0), (0, 1.0)])
def test_processes_on_one_gpu_have_their_shares_of_its_memory(gpus: float, share: float) -> None:
    """Before, the first took what it wanted, and the others ran out."""
    assert share == share_of_memory(gpus)


def test_a_setup_that_took_more_than_its_share_is_refused() -> None:
    """With what there is: else each of its tasks would run out of memory."""
    check_share(10**9, 4 * 10**9, 0.25)
    with pytest.raises(StageError, match=r"took 3.0 GB .* resources.gpus=0.25 this process has 2.0 of 8.0 GB"):
        check_share(3 * 10**9, 8 * 10**9, 0.25)


def test_where_nobody_named_devices_none_is_hidden() -> None:
    """A workstation's driver shows all that it has."""
    assert "CUDA_VISIBLE_DEVICES" not in found(device="cuda")
