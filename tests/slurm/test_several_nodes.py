"""A program on two nodes of a real Slurm: killed, it goes on at its step; nothing of it is left on the other node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import trainer
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

STEPS = 12
DRIVER = """
import sys

import hpcurate
from hpcurate import Command, StageOptions, Step, Task
from hpcurate.planning.pipeline import Timing

store, program, trace, steps = sys.argv[1:]
argv = ["python", "-m", program, "{checkpoint}", "{metrics}", "{values}", steps, "0.1", trace]
shape = StageOptions(resources={"cpus": 1, "memory": "200MB", "time": "5m", "nodes": 2}, workers=1)
outcome = hpcurate.run(
    {"train": Step(Command(argv, values={"total": "int"}), shape)}, [Task(id="model")], store=store, launcher="slurm",
    wait=True, timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0),
    echo=lambda line: print(line, file=sys.stderr, flush=True),
)
print(outcome.state.value)
"""


def until(found: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


class Training:
    """One that runs."""

    def __init__(self, folder: Path, site: SlurmSite) -> None:
        self.folder, self.trace, self.site = folder, folder / "trace", site
        self.trace.mkdir()
        (folder / "training.py").write_text(Path(trainer.__file__).read_text())
        (folder / "drive.py").write_text(DRIVER)
        words = [sys.executable, "drive.py", str(folder / "store"), "training", str(self.trace), str(STEPS)]
        environment = {**os.environ, **site.env}
        self.driver = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def begun(self) -> list[list[int]]:
        """(rank, step, pid) of each that began, in order."""
        path = self.trace / "begun"
        lines = path.read_text().splitlines() if path.exists() else []
        return [list(map(int, line.split())) for line in lines]

    def step(self) -> int:
        """The last that was kept."""
        found = [
            json.loads(path.read_text())[0] for path in self.folder.glob("store/stages/train-*/checkpoints/*/*/*/state")
        ]
        return max(found, default=0)


@pytest.fixture
def training(tmp_path: Path, slurm: SlurmSite) -> Iterator[Training]:
    """On two nodes."""
    made = Training(tmp_path, slurm)
    yield made
    made.driver.kill()
    made.driver.communicate()


def test_killed_on_two_nodes_it_goes_on_and_leaves_no_rank_behind(training: Training) -> None:
    """The stage process is, and its keeper kills srun: Slurm would let the remote rank run on beside the next attempt's."""
    until(lambda: training.step() >= 3)
    ranks = [pid for _, _, pid in training.begun()]
    stage_process(training.folder).kill()
    until(lambda: len(training.begun()) >= 4)
    assert not [pid for pid in ranks if _lives(pid)]
    first = min(step for _, step, _ in training.begun()[2:])
    assert first >= 3
    out, err = training.driver.communicate(timeout=90)
    assert out.strip() == "complete", err
    (row,) = [
        json.loads(path.read_text()) for path in training.folder.glob("store/stages/train-*/shards/*/[!.]*/tasks.jsonl")
    ]
    assert sum(step * step for step in range(STEPS)) == row["values"]["total"]
    (logged,) = training.folder.glob("store/stages/train-*/shards/*/[!.]*/logged.jsonl")
    assert list(range(1, STEPS + 1)) == [json.loads(line)["step"] for line in logged.read_text().splitlines()]
    assert {0, 1} == {rank for rank, _, _ in training.begun()}
    assert [] == list(training.folder.glob("store/stages/train-*/checkpoints/*/*"))


def stage_process(folder: Path) -> psutil.Process:
    """The parent of the srun that starts programs of a store there."""
    steps = [one for one in psutil.process_iter(["name", "cmdline"]) if one.info["name"] == "srun"]
    parents = [one.parent() for one in steps if str(folder) in " ".join(one.info["cmdline"] or ())]
    return next(one for one in parents if one is not None and one.name() != "srun")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
