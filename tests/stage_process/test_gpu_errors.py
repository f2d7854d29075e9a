"""GPU memory that runs out: batches are halved, nothing is lost. A lost GPU: known by its error."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_stages import Number, numbers

from hpcurate import Stage
from hpcurate.stage_process.gpu_errors import gpu_lost, gpu_oom
from hpcurate.testing import try_stage


class AcceleratorError(RuntimeError):
    """Named as torch's own, which a build without CUDA may lack."""


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> Iterator[None]:
    """To collect what is torch's and the test runner's again and again would take a minute."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Held:
    """What a try keeps alive through itself."""

    def __init__(self) -> None:
        self.own = self


class Hungry(Stage[Number, Number]):
    """Has room for so much in a batch: the sum of the last digits of its values."""

    version = 1

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []
        self.held: list[weakref.ref[Held]] = []

    def prepare(self, task: Number) -> None:
        """Leave something for `process`."""
        task.memory["twice"] = 2 * task.value

    def process(self, tasks: list[Number]) -> list[Number]:
        """Change the tasks first, as a stage may, then run out of memory."""
        assert [] == [one for one in self.held if one() is not None]
        held = Held()
        self.held.append(weakref.ref(held))
        for task in tasks:
            task.story += f"{task.memory['twice']}"
        if sum(task.value % 10 for task in tasks) > self.room:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(tasks)}.00 GiB.")
        self.sizes.append(len(tasks))
        held.own = None  # type: ignore[assignment]
        return tasks


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 99), max_size=24, unique=True), st.integers(0, 9), st.integers(1, 20))
def test_what_fits_alone_passes_in_order(values: list[int], batch_size: int, room: int) -> None:
    """Whatever the batches: the same output as one by one; a dead letter exactly where a task alone is too large."""
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        single = try_stage(Hungry(room), numbers(*values), Path(one), batch_size=1)
        together = try_stage(Hungry(room), numbers(*values), Path(two), batch_size=batch_size)
    assert [value for value in values if value % 10 > room] == [row["task"]["value"] for row in together.failed]
    assert [(task.value, f"{2 * task.value}") for task in single.tasks] == [(t.value, t.story) for t in together.tasks]
    assert (len(values), single.counts.errors) == (together.counts.tasks_in, together.counts.errors)


def test_the_size_that_fits_is_remembered(tmp_path: Path) -> None:
    """Of two batches of 8 the first is tried at 8 and 4, the second at once by twos."""
    stage = Hungry(2)
    outcome = try_stage(stage, numbers(*range(1, 161, 10)), tmp_path, batch_size=8)
    assert ([2] * 8, 10, 16) == (stage.sizes, len(stage.held), outcome.counts.passed)


def test_one_task_that_never_fits_does_not_make_the_others_slow(tmp_path: Path) -> None:
    """It is a dead letter with torch's figures, and the batches after it are whole again."""
    stage = Hungry(5)
    outcome = try_stage(stage, numbers(1, 9, 11, 21, *range(31, 111, 10)), tmp_path, batch_size=4)
    [row] = outcome.failed
    assert ("gpu_oom", "CUDA out of memory. Tried to allocate 1.00 GiB.") == (row["error"], row["message"])
    assert [4, 4] == stage.sizes[-2:]


class Greedy(Stage[Number, Number]):
    """Asks torch for more than any machine has, for more than two tasks."""

    version = 1

    def process(self, tasks: list[Number]) -> list[Number]:
        """A real allocation, on the CPU."""
        torch.empty(2**58 if len(tasks) > 2 else 1, dtype=torch.float64)
        return tasks


def test_memory_that_really_runs_out(tmp_path: Path) -> None:
    """Torch's own error, from its allocator for the CPU."""
    assert 8 == try_stage(Greedy(), numbers(*range(8)), tmp_path, batch_size=8).counts.passed


def test_a_lost_gpu_ends_the_attempt(tmp_path: Path) -> None:
    """It blames no task."""

    class Lost(Stage[Number, Number]):
        version = 1

        def process(self, tasks: list[Number]) -> list[Number]:
            raise AcceleratorError("CUDA error: device-side assert triggered")

    with pytest.raises(Exception, match="AcceleratorError: CUDA error: device-side assert triggered"):
        try_stage(Lost(), numbers(1, 2), tmp_path)


def caused(error: Exception) -> Exception:
    """The same, as a stage may pass it on."""
    made = ValueError("batch failed")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    ("error", "full", "lost"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True, False),
        (AcceleratorError("CUDA error: out of memory"), True, False),
        (RuntimeError("HIP out of memory. Tried to allocate 2 GiB"), True, False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True, False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear"), True, False),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), True, False),
        (caused(torch.OutOfMemoryError("CUDA out of memory.")), True, False),
        (ValueError("out of memory"), False, False),
        (MemoryError(), False, False),
        (RuntimeError("shape mismatch"), False, False),
        (AcceleratorError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("CUDA error: device-side assert triggered"), False, True),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False, True),
        (caused(AcceleratorError("CUDA error: unknown error")), False, True),
        (AcceleratorError("CUDA error: some new kind"), False, True),
        (AcceleratorError("CUDA error: no kernel image is available for execution on the device"), False, False),
        (AcceleratorError("CUDA error: invalid configuration argument"), False, False),
        (ValueError("an illegal memory access was encountered"), False, False),
    ],
)
def test_errors_of_gpus_are_known_by_class_and_text(error: Any, full: bool, lost: bool) -> None:
    """Also behind an error of the stage's own; a wrong question to CUDA is an error like any other."""
    assert (full, lost) == (gpu_oom(error) is not None, gpu_lost(error) is not None)
