"""The GPUs of a worker: looked at before it begins, watched while it works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
from checkout import ROOT
from planned import planned

from hpcurate.runs.folded import Folded
from hpcurate.runs.state import StageCounts, StageGpu
from hpcurate.store.stats import Committed, GpuUse
from hpcurate.system.clock import SystemClock
from hpcurate.system.gpus import GpuSample, NoDriver
from hpcurate.worker.gpu_probe import look_at_gpus, problem, sees_none
from hpcurate.worker.gpu_watch import GpuWatch, used

UUID = "GPU-8a5b6c7d-0000-1111-2222-333344445555"
MIG = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
NEEDS = "stage one needs CUDA (resources.gpus="
CPU = "to run it without one type stages.one.device=cpu"
BAD = "node n7 does not answer as it should"
EXCLUDE = "leave the node out with stages.one.sbatch.exclude=n7, and tell the site"


@attrs.define
class Seen:
    """A node: which of its devices have which fault."""

    devices: dict[str, str]

    def tokens(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.devices)

    def fault(self, token: str) -> str:
        """As told."""
        return self.devices.get(token, "Not Found")

    def sample(self, token: str) -> GpuSample:
        """Nothing."""
        return GpuSample()


@pytest.mark.parametrize(
    ("gpus", "given", "seen", "said"),
    [
        (1, ("0",), {"0": ""}, ""),
        (1, (UUID,), {UUID: ""}, ""),
        (0.5, (MIG,), {MIG: "", "0": "GPU is lost"}, ""),
        (2, None, {"0": "", "1": ""}, ""),
        (1, (), {"0": ""}, f"{NEEDS}1), and its worker on n7 sees no GPU: CUDA_VISIBLE_DEVICES is empty; {CPU}"),
        (1, None, {}, f"{NEEDS}1), and its worker on n7 sees no GPU: its driver shows none; {CPU}"),
        (2, ("0",), {"0": ""}, f"{NEEDS}2), a worker 2 GPUs, and that on n7 was given 1; {CPU}"),
        (2, ("0", "1"), {"0": "", "1": "GPU is lost"}, f"GPU 1 of {BAD}: GPU is lost; {EXCLUDE}"),
        (1, ("7",), {"0": ""}, f"GPU 7 of {BAD}: Not Found; {EXCLUDE}"),
    ],
)  # fmt: skip
def test_a_worker_without_its_gpus_says_so(
    gpus: float, given: tuple[str, ...] | None, seen: dict[str, str], said: str
) -> None:
    """Before, the stage's own code failed somewhere in torch, or ran on the CPU for days."""
    stage = planned(resources={"gpus": gpus}, processes=1)
    assert said == problem(stage, "n7", given, Seen(seen))


def test_a_node_without_a_driver_is_named() -> None:
    """With what NVML says."""
    said = sees_none(planned(resources={"gpus": 1}), "n7", "NVML: Driver Not Loaded")
    assert "its worker on n7 sees no GPU: NVML: Driver Not Loaded" in said


def test_a_driver_that_never_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe ends the worker; the watch keeps no shard from ending."""
    monkeypatch.setattr("hpcurate.worker.gpu_probe.ANSWER_S", 0.05)
    never, clock = threading.Event(), SystemClock()

    def hangs() -> Seen:
        never.wait()
        raise NoDriver("at last")

    said = look_at_gpus(planned(resources={"gpus": 1}), "n7", clock, hangs)
    assert f"the GPU driver of {BAD}: no answer in 0 s; {EXCLUDE}" == said
    with GpuWatch(("0",), clock, hangs).shard(("0",)) as samples:
        pass
    assert [] == samples
    never.set()


# -- what they did ----------------------------------------------------------------------------------


def test_samples_are_summed_up_for_a_shard() -> None:
    """Means of shares, the peak of memory; what a driver does not say is left out."""
    samples = [GpuSample(busy=0.5, memory_mb=100), GpuSample(busy=1.0, memory_mb=300, decoder=0.2), GpuSample()]
    assert GpuUse(seconds=2.0, busy=0.75, decoder=0.2, memory_mb=300) == used(samples, 2.0)
    own = used(samples, 2.0, own_mb=42)
    assert own is not None
    assert 42 == own.memory_mb
    assert None is used([], 1.0)
    assert None is used([GpuSample()], 1.0)


def shard(name: str, gpu: GpuUse | None, process: float = 0.0, waiting: float = 0.0) -> Committed:
    """A committed one."""
    return Committed(shard=name, nonce="n", weight_out=1, gpu=gpu, process_seconds=process, waiting_seconds=waiting)


def test_shards_are_summed_up_for_a_stage() -> None:
    """A long one counts more; shards that nobody watched do not."""
    long, short = GpuUse(seconds=9, busy=1.0, memory_mb=5), GpuUse(seconds=1, busy=0.0, memory_mb=7)
    done = [shard("a", long, 6, 2), shard("b", short, 2), shard("c", None, 100, 100)]
    assert StageGpu(busy=0.9, memory_mb=7, waited=0.2) == StageCounts.of(3, Folded.of(done)).gpu
    assert None is StageCounts.of(1, Folded.of([shard("c", None)])).gpu


NVML = r"""
#include <string.h>
typedef struct { unsigned gpu, memory; } utilization; typedef struct { unsigned long long total, free, used; } memory;
static const char *uuids[] = {"GPU-aaaa", "GPU-bbbb"}; static int devices[2];
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 15 ? "GPU is lost" : "Not Supported"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { *device = &devices[i]; return i < 2 ? 0 : 6; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  for (int i = 0; i < 2; i++) if (!strcmp(uuid, uuids[i])) { *device = &devices[i]; return 0; } return 6; }
int nvmlDeviceGetUUID(int *device, char *uuid, unsigned length) { strcpy(uuid, uuids[device - devices]); return 0; }
int nvmlDeviceGetUtilizationRates(int *device, utilization *u) { u->gpu = 83; u->memory = 1; return 0; }
int nvmlDeviceGetEncoderUtilization(int *device, unsigned *share, unsigned *period) { *share = 0; return 0; }
int nvmlDeviceGetDecoderUtilization(int *device, unsigned *share, unsigned *period) { *share = 12; return 0; }
int nvmlDeviceGetMemoryInfo(int *device, memory *m) {
  m->total = 1ull << 34; m->used = 3ull << 30; m->free = m->total - m->used; return device - devices == 1 ? 15 : 0; }
"""
"""A driver with two devices, the second of which has fallen off the bus."""
DRIVE = """
import sys
sys.path.insert(0, sys.argv[1])
from engine_stages import Number, Where
import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
step = Step(Where(), StageOptions(resources={"gpus": 1, "memory": "100MB"}))
outcome = hpcurate.run({"where": step}, [Number(id="a", value=1)], store=sys.argv[2], launcher="local")
if outcome.state.exit_status == 0:
    from hpcurate.system.gpus import Nvml
    print(",".join(map(Nvml().fault, ["1", "GPU-aaaa", "GPU-c"])))
sys.exit(outcome.state.exit_status)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small libnvidia-ml."""
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML)
    command = ["gcc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(folder / "nvml.c")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no gcc")
    return folder


def run(tmp_path: Path, devices: str, driver: Path | None) -> subprocess.CompletedProcess[str]:
    """One stage on these devices of that driver, in workers of their own."""
    more = {"LD_LIBRARY_PATH": str(driver)} if driver else {}
    return subprocess.run(
        [sys.executable, "-c", DRIVE, str(ROOT / "tests" / "support"), str(tmp_path / "store")],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": devices, **more}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_a_gpu_did_stands_in_stats_and_status(tmp_path: Path, driver: Path) -> None:
    """By index here, by UUID elsewhere; from a real library, if not a real GPU."""
    done = run(tmp_path, "GPU-aa", driver)
    assert (0, "GPU is lost,,Not Found") == (done.returncode, done.stdout.splitlines()[-1]), done.stderr
    (stats,) = (tmp_path / "store").glob("stages/where-*/shards/*/[!.]*/stats.json")
    seen = json.loads(stats.read_text())["gpu"]
    assert (0.83, 0.12, 0.0, 3072.0) == (seen["busy"], seen["decoder"], seen["encoder"], seen["memory_mb"])
    command = [sys.executable, "-m", "hpcurate", "status", "--store", str(tmp_path / "store")]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "  where: GPU 83% busy, 3.0 GB at most, decoder 12%, waited 0% for prepare" in shown
    assert (
        0.83 == json.loads((tmp_path / "store/runs/latest/summary.json").read_text())["stages"]["where"]["gpu"]["busy"]
    )


def test_a_stage_without_the_gpu_that_it_needs_stalls(tmp_path: Path) -> None:
    """Its worker was promised one; `why` says what it found, and what to type."""
    done = run(tmp_path, "0", None)
    assert 1 == done.returncode, done.stderr
    command = [sys.executable, "-m", "hpcurate", "why", "--store", str(tmp_path / "store")]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    said = (
        r"stage where needs CUDA \(resources.gpus=1\), and its worker on \S+ sees no GPU: NVML: .*; to run it without"
    )
    assert re.search(said, shown), shown
