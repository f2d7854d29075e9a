"""A task that is too large for its job's memory, on a real Slurm that kills the whole job, worker and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

STAGE = """
import time

import attrs

from hpcurate import Stage, Task


@attrs.define(kw_only=True)
class Picture(Task):
    megabytes: int = 1


class Load(Stage[Picture, Picture]):
    version = 1
    batch_size = 4

    def process(self, tasks):
        for task in tasks:
            held = bytearray(b"x") * (task.megabytes << 20)
            time.sleep(8 if task.megabytes > 100 else 0)
        return tasks
"""
DRIVER = """
import sys

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.planning.pipeline import Timing
from pictures import Load, Picture

tasks = [Picture(id=f"p{n}", megabytes=900 if n == 7 else 1) for n in range(10)]
shape = StageOptions(shard_tasks=int(sys.argv[2]), workers=2, resources={"cpus": 1, "memory": "300MB", "time": "5m"})
outcome = hpcurate.run(
    {"load": Step(Load(), shape)}, tasks, store=sys.argv[1], launcher="slurm", wait=True,
    timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0),
    echo=lambda line: print(line, file=sys.stderr),
)
print(outcome.state.value)
"""


Runs = dict[int, tuple[Path, "subprocess.Popen[str]"]]
"""Tasks of a shard → (folder, run)."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> Iterator[Runs]:
    """At the same time, for they wait for Slurm and its accounting."""
    begun = {shard_tasks: begin(tmp_path_factory.mktemp("memory"), slurm, shard_tasks) for shard_tasks in (5, 10)}
    yield begun
    for _, run in begun.values():
        run.kill()
        run.communicate()


def begin(folder: Path, slurm: SlurmSite, shard_tasks: int) -> tuple[Path, subprocess.Popen[str]]:
    """Start a run with so large shards."""
    (folder / "pictures.py").write_text(STAGE)
    (folder / "drive.py").write_text(DRIVER)
    command, environment = [sys.executable, "drive.py", "store", str(shard_tasks)], {**os.environ, **slurm.env}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return folder, subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


@pytest.mark.parametrize("shard_tasks", [5, 10], ids=["two shards", "one shard"])
def test_one_task_that_is_too_large_is_one_dead_letter_that_says_memory(runs: Runs, shard_tasks: int) -> None:
    """The nine healthy ones were dead letters, too, and no message had the word memory."""
    folder, run = runs[shard_tasks]
    printed, errors = run.communicate(timeout=300)
    assert "complete" == printed.strip(), errors
    shards = sorted((folder / "store" / "stages").glob("load-*/shards/*/[!.]*"))
    rows = {
        kind: [
            json.loads(line)
            for shard in shards
            if (shard / f"{kind}.jsonl").exists()
            for line in (shard / f"{kind}.jsonl").read_text().splitlines()
        ]
        for kind in ("tasks", "failed")
    }
    assert [f"p{n}" for n in range(10) if n != 7] == [row["id"] for row in rows["tasks"]]
    assert ["p7"] == [row["id"] for row in rows["failed"]]
    assert "killed for memory: the scheduler says that job" in rows["failed"][0]["message"]
