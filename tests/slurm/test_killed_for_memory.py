"""A task that is too large for its job's memory, on a real Slurm that kills the whole job, worker and all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

tasks = [Picture(id=f"p{n}", megabytes=450 if n == 7 else 1) for n in range(10)]
shape = StageOptions(
    shard_tasks=int(sys.argv[2]), workers=2, resources={"cpus": 1, "memory": "300MB", "time": "5m"},
    max_memory=sys.argv[3],
)
outcome = hpcurate.run(
    {"load": Step(Load(), shape)}, tasks, store=sys.argv[1], launcher="slurm", wait=True,
    timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0),
    echo=lambda line: print(line, file=sys.stderr),
)
print(outcome.state.value)
"""


Runs = dict[str, tuple[Path, "subprocess.Popen[str]"]]
"""Most memory of a worker → (folder, run)."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> Iterator[Runs]:
    """At the same time, for they wait for Slurm and its accounting."""
    begun = {most: begin(tmp_path_factory.mktemp("memory"), slurm, n, most) for n, most in ((5, "2GB"), (10, "300MB"))}
    yield begun
    for _, run in begun.values():
        run.kill()
        run.communicate()


def begin(folder: Path, slurm: SlurmSite, shard_tasks: int, most: str) -> tuple[Path, subprocess.Popen[str]]:
    """Start a run with so large shards."""
    (folder / "pictures.py").write_text(STAGE)
    (folder / "drive.py").write_text(DRIVER)
    command, environment = [sys.executable, "drive.py", "store", str(shard_tasks), most], {**os.environ, **slurm.env}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return folder, subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


def ended(runs: Runs, most: str) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]], str]:
    """({kind: rows}, stats of the shards, what was printed) of a complete run."""
    folder, run = runs[most]
    printed, errors = run.communicate(timeout=300)
    assert "complete" == printed.strip(), errors
    shards = sorted((folder / "store" / "stages").glob("load-*/shards/*/[!.]*"))
    rows = {
        kind: [json.loads(line) for shard in shards for line in lines_of(shard / f"{kind}.jsonl")] for kind in KINDS
    }
    return rows, [json.loads((shard / "stats.json").read_text()) for shard in shards], errors


KINDS = ("tasks", "failed")


def lines_of(path: Path) -> list[str]:
    """None of a file that is not there."""
    return path.read_text().splitlines() if path.exists() else []


def test_a_task_that_needs_more_memory_comes_through_in_a_round_that_has_it(runs: Runs) -> None:
    """It was a dead letter. What is committed is not repeated, and the round is for the one shard alone."""
    rows, stats, errors = ended(runs, "2GB")
    assert ([f"p{n}" for n in range(10)], []) == ([row["id"] for row in rows["tasks"]], rows["failed"])
    assert [1, 1, 3] == sorted(shard["attempt"] for shard in stats)
    tickets = sorted((runs["2GB"][0] / "store" / "stages").glob("load-*/rounds/*.ticket"))
    special = [json.loads(ticket.read_text())["special"] for ticket in tickets]
    assert ["", ""] == special[:2]
    assert re.fullmatch(r"1 shard that ran out of memory, \d+ of 300 MB; it has 600 MB", special[2]), errors
    why = [sys.executable, "-m", "hpcurate", "why", "--store", "store"]
    shown = subprocess.run(why, cwd=runs["2GB"][0], capture_output=True, text=True, check=True).stdout
    assert f"  load: round 3: {special[2]}\n" in shown


def test_one_that_needs_more_than_there_is_is_one_dead_letter_that_says_memory(runs: Runs) -> None:
    """The nine healthy ones were dead letters, too, and no message had the word memory."""
    rows, _, errors = ended(runs, "300MB")
    assert [f"p{n}" for n in range(10) if n != 7] == [row["id"] for row in rows["tasks"]], errors
    ((id, kind, message),) = [(row["id"], row["kind"], row["message"]) for row in rows["failed"]]
    assert ("p7", "oom") == (id, kind)
    assert re.match(r"killed for memory; \d+ of 300 MB; the scheduler says that job", message), message
