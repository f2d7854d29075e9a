"""Failures of a stage's own code, each produced in jobs of a real Slurm: what becomes of it, and what `why` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

STAGES = """
import os
import signal
import time

from hpcurate import Stage, Task


class Fated(Stage[Task, Task]):
    version = 1

    def process(self, tasks):
        for task in tasks:
            if task.id == "raises":
                raise ValueError("no such colour")
            if task.id == "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            if task.id == "hangs":
                time.sleep(300)
            if task.id == "too large for a GPU":
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
            if task.id == "comes right" and not os.path.exists("tried"):
                open("tried", "w").close()
                raise ConnectionResetError("reset by peer")
        return tasks


class Slow(Stage[Task, Task]):
    version = 1
    seconds = 1.5

    def process(self, tasks):
        time.sleep(self.seconds)
        return tasks


class Slower(Slow):
    version = 1
    seconds = 58.0


class NeverReady(Stage[Task, Task]):
    version = 1

    def setup(self, worker):
        raise RuntimeError("no licence left")

    def process(self, tasks):
        return tasks
"""
DRIVER = """
import json
import sys

import hpcurate
from hpcurate import StageOptions, Step, Task
from hpcurate.planning.options import Budget
from hpcurate.planning.pipeline import Timing
import fates

ids = ["fine", "raises", "fine, too", "crashes", "hangs", "too large for a GPU", "comes right", "fine as well"]
shape = StageOptions(workers=2, task_timeout=2.0, backoff=0.1, resources={"memory": "300MB", "time": "5m"})
if "Slow" in sys.argv[2]:
    ids, short = ["a", "b", "c"][: 3 if sys.argv[2] == "Slow" else 1], {"memory": "300MB", "time": "1m"}
    shape = StageOptions(shard_tasks=1, workers=1, sbatch={"partition": "low", "nodelist": "gpu1"}, resources=short)
outcome = hpcurate.run(
    {"fated": Step(getattr(fates, sys.argv[2])(), shape)}, [Task(id=id) for id in ids], store=sys.argv[1],
    launcher="slurm", wait=True, budget=Budget(failed=9),
    timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, hold_s=2.0),
    echo=lambda line: print(line, file=sys.stderr),
)
print(json.dumps(outcome.summary))
"""
Ended = tuple[Path, dict[str, Any]]
"""(folder, summary) of a run."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> dict[str, Ended]:
    """Stage → its run: all at the same time, for they wait for Slurm."""
    begun = {name: begin(tmp_path_factory.mktemp("kinds"), slurm, name) for name in ("Slow", "Fated", "NeverReady")}
    preempt(slurm, begun["Slow"][0] / "store")
    return {name: ended(folder, run) for name, (folder, run) in begun.items()}


def begin(folder: Path, slurm: SlurmSite, stage: str) -> tuple[Path, subprocess.Popen[str]]:
    """Start the run of one stage."""
    (folder / "fates.py").write_text(STAGES)
    (folder / "drive.py").write_text(DRIVER)
    command, environment = [sys.executable, "drive.py", "store", stage], {**os.environ, **slurm.env}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return folder, subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


def ended(folder: Path, run: subprocess.Popen[str], timeout: float = 120) -> Ended:
    """When it is over."""
    printed, errors = run.communicate(timeout=timeout)
    assert printed, errors
    return folder, json.loads(printed)


def preempt(slurm: SlurmSite, store: Path) -> None:
    """Take the node of the worker for a moment, once it is at work."""
    deadline = time.monotonic() + 60
    while not list(store.glob("stages/fated-*/claims/*/*.1")) and time.monotonic() < deadline:
        time.sleep(0.1)
    slurm.sbatch("-p", "high", "-w", "gpu1", "--exclusive", script="sleep 0.5")


def why(folder: Path) -> str:
    """What the verb prints."""
    command = [sys.executable, "-m", "hpcurate", "why", "--store", "store"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_each_task_ends_as_its_own_failure_says(runs: dict[str, Ended]) -> None:
    """An exception, a crash, a hang and a GPU that is too small are a dead letter each, by name; the others pass."""
    folder, summary = runs["Fated"]
    shards = sorted((folder / "store" / "stages").glob("fated-*/shards/*/[!.]*"))
    failed = [json.loads(line) for shard in shards for line in (shard / "failed.jsonl").read_text().splitlines()]
    assert ("complete", 4) == (summary["state"], summary["stages"]["fated"]["failed"])
    assert {"raises": "exception", "crashes": "crash", "hangs": "timeout", "too large for a GPU": "gpu_oom"} == {
        letter["id"]: letter["kind"] for letter in failed
    }
    said = {letter["id"]: letter["message"] for letter in failed}
    assert ("no such colour", True) == (said["raises"], "SIGSEGV" in said["crashes"])
    assert said["hangs"].startswith("task hangs took over 4 s; where it was: ")
    explained = why(folder)
    assert all(message.splitlines()[0][:40] in explained for message in said.values())


def test_a_stage_that_cannot_be_set_up_is_stalled(runs: dict[str, Ended]) -> None:
    """With what `setup` raised; no task is to blame."""
    folder, summary = runs["NeverReady"]
    assert ("stalled", 0) == (summary["state"], summary["stages"]["fated"]["failed"])
    assert "RuntimeError: no licence left" in summary["reason"]
    assert "no licence left" in why(folder)


def test_what_others_preempt_is_handed_back_and_done_later(runs: dict[str, Ended]) -> None:
    """It counts against nothing: the element is queued again, and takes up what it had handed back."""
    folder, summary = runs["Slow"]
    assert ("complete", 3, 0) == (summary["state"], *(summary["stages"]["fated"][key] for key in ("out", "failed")))
    claims = [path.name for path in (folder / "store" / "stages").glob("fated-*/claims/*/*")]
    assert {"free"} == {name.rpartition(".")[2] for name in claims if not name[-1].isdigit()}
    workers = {path.name.partition("-r")[2][:1] for path in (folder / "store" / "stages").glob("fated-*/workers/*/*")}
    assert {"0", "1"} == workers


@pytest.mark.long
def test_what_is_not_done_in_time_gets_a_round_with_more(tmp_path: Path, slurm: SlurmSite) -> None:
    """A minute is too short for the task: it is handed back before the end, and done in a job of two."""
    folder, summary = ended(*begin(tmp_path, slurm, "Slower"), timeout=400)
    assert ("complete", 1) == (summary["state"], summary["stages"]["fated"]["out"])
    (marker,) = (folder / "store" / "stages").glob("fated-*/claims/*/*.walltime")
    assert 30 < json.loads(marker.read_text())["seconds"] < 60
    second = next((folder / "store" / "stages").glob("fated-*/rounds/0002.ticket"))
    assert "1 shard that was not done after" in json.loads(second.read_text())["special"]
