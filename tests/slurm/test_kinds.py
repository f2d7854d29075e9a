"""Each kind of failure, produced for real on a Slurm: how it is seen, and what is done about it (docs/failures.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

STAGE = """
import glob
import json
import os
import signal
import subprocess
import time

import attrs

from hpcurate import Stage, Task


@attrs.define(kw_only=True)
class Order(Task):
    what: str = ""


@attrs.define(kw_only=True)
class Obey(Stage[Order, Order]):
    refuse: bool = False
    version = 1

    def setup(self, worker):
        if self.refuse:
            raise RuntimeError("there is no model here")

    def process(self, tasks):
        for task in tasks:
            getattr(self, task.what or "nothing")()
        return tasks

    def nothing(self):
        pass

    def exception(self):
        raise ValueError("not a number")

    def crash(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def timeout(self):
        time.sleep(99)

    def gpu_oom(self):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    def lost(self):  # its worker is killed, the first time
        if not os.path.exists("killed"):
            open("killed", "w").close()
            claim = glob.glob("store/stages/obey-*/claims/*/*.1")[0]
            os.kill(json.load(open(claim))["process"]["pid"], signal.SIGKILL)
            time.sleep(9)

    def preempted(self):
        if not os.path.exists("began"):
            open("began", "w").close()
            time.sleep(60)

    def walltime(self):  # longer than a job of a minute has
        limit = subprocess.check_output(["squeue", "-h", "-j", os.environ["SLURM_JOB_ID"], "-o", "%l"], text=True)
        if limit.strip() == "1:00":
            time.sleep(99)
"""
DRIVER = """
import json
import sys

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.planning.budget import Budget
from hpcurate.planning.pipeline import Timing
from orders import Obey, Order

given = json.loads(sys.argv[1])
tasks = [Order(id=f"{n}-{what}", what=what) for n, what in enumerate(given["orders"])]
shape = {"workers": 1, "attempts": 9, **given.get("options", {})}
shape["resources"] = {"cpus": 1, "memory": "200MB", "time": "5m", **shape.get("resources", {})}
outcome = hpcurate.run(
    {"obey": Step(Obey(refuse=given.get("refuse", False)), StageOptions(**shape))}, tasks, store="store",
    launcher={"_target_": "launchers.slurm.SlurmLauncher", **given.get("launcher", {})}, wait=True,
    budget=Budget(failed=99),
    timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0, ask_s=1.0, hold_s=1.0),
    echo=lambda line: print(line, file=sys.stderr),
)
print(outcome.state.value)
print(outcome.report.reason)
"""
EATS_JOBS = """case $SLURM_JOB_NAME in gate*) ;; *) [ -e bad ] || echo $SLURMD_NODENAME > bad
[ $SLURMD_NODENAME != $(cat bad) ] || exit 1 ;; esac"""
"""The first node that is given a job of an array."""
RUNS: dict[str, dict[str, Any]] = {
    "node": {"orders": [""] * 3, "options": {"sbatch": {"partition": "gpu"}}, "launcher": {"setup": [EATS_JOBS]}},
    "setup": {"orders": [""], "refuse": True},
    "preempted": {"orders": ["preempted"], "options": {"sbatch": {"partition": "low", "nodelist": "gpu0"}}},
    "lost": {"orders": ["", "lost", ""]},
    "tasks": {"orders": ["", "exception", "crash", "timeout", "gpu_oom", ""], "options": {"task_timeout": 2.0}},
}
"""Name → what the run is told. They run at the same time, for mostly they wait."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> Iterator[dict[str, Begun]]:
    """All runs."""
    folders = {name: tmp_path_factory.mktemp(name) for name in RUNS}
    keep_busy(slurm, "gpu1", until=folders["node"] / "released")
    found = {name: Begun(folders[name], slurm, given) for name, given in RUNS.items()}
    yield found
    (folders["node"] / "released").touch()
    for one in found.values():
        one.process.kill()
        one.process.communicate()


def keep_busy(slurm: SlurmSite, node: str, until: Path) -> None:
    """So that jobs are given to the other node of its partition."""
    script = f"for n in $(seq 600); do [ -e {until} ] && break; sleep 0.1; done"
    job = slurm.sbatch("--partition=gpu", f"--nodelist={node}", "--exclusive", "--mem=10", script=script)
    while slurm.run("squeue", "-h", "-j", job, "-o", "%T").strip() != "RUNNING":
        time.sleep(0.1)


class Begun:
    """A run in a process of its own."""

    def __init__(self, folder: Path, slurm: SlurmSite, given: dict[str, Any]) -> None:
        self.folder = folder
        (folder / "orders.py").write_text(STAGE)
        (folder / "drive.py").write_text(DRIVER)
        self.process = subprocess.Popen(
            [sys.executable, "drive.py", json.dumps(given)],
            cwd=folder, env={**os.environ, **slurm.env}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def end(self) -> tuple[str, str, str]:
        """(state, reason, what was echoed)."""
        printed, errors = self.process.communicate(timeout=200)
        state, _, reason = printed.strip().partition("\n")
        return state, reason, errors

    def tickets(self) -> list[dict[str, Any]]:
        """Of its rounds."""
        return [
            json.loads(path.read_text()) for path in sorted(self.folder.glob("store/stages/obey-*/rounds/*.ticket"))
        ]

    def history(self) -> list[str]:
        """Endings of the attempts before those that were committed."""
        stats = self.folder.glob("store/stages/obey-*/shards/*/[!.]*/stats.json")
        return [end["ending"] for path in stats for end in json.loads(path.read_text())["history"]]

    def failed(self) -> dict[str, tuple[str, str]]:
        """Dead letters: order → (kind, message)."""
        paths = self.folder.glob("store/stages/obey-*/shards/*/[!.]*/failed.jsonl")
        rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        return {row["id"].partition("-")[2]: (row["kind"], row["message"]) for row in rows}


def test_a_preempted_worker_costs_its_shard_nothing(begun: dict[str, Begun], slurm: SlurmSite) -> None:
    """By a job of the partition before it, that wants all nodes: it is handed back, and taken up by the next."""
    one, deadline = begun["preempted"], time.monotonic() + 60
    while not (one.folder / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    slurm.sbatch("--partition=high", "--nodelist=gpu0", "--exclusive", "--mem=10", script="true")
    state, reason, errors = one.end()
    assert ("complete", "") == (state, reason), errors
    assert {"free"} == set(one.history())


def test_what_tasks_do_is_one_dead_letter_each(begun: dict[str, Begun]) -> None:
    """An exception, a crash, a hang and a full GPU (an error that is only raised here): the others pass."""
    one = begun["tasks"]
    state, _, errors = one.end()
    assert "complete" == state, errors
    failed = one.failed()
    assert {name: name for name in ("exception", "crash", "timeout", "gpu_oom")} == {
        n: k for n, (k, _) in failed.items()
    }
    said = {"exception": "not a number", "crash": "SIGSEGV", "timeout": "stacks of shard", "gpu_oom": "out of memory"}
    assert [] == [name for name, words in said.items() if words not in failed[name][1]], failed


def test_a_worker_that_was_killed_blames_nobody(begun: dict[str, Begun]) -> None:
    """kill -9 of the supervisor: nothing else is known, and all tasks pass in the end."""
    state, reason, errors = begun["lost"].end()
    assert ("complete", "") == (state, reason), errors
    assert begun["lost"].history()
    assert {*begun["lost"].history()} <= {"dead", "lost"}


def test_a_node_that_fails_every_job_at_once_is_left_out(begun: dict[str, Begun]) -> None:
    """Each round was given to it again, and the stage stalled. Now the run completes on another."""
    one, deadline = begun["node"], time.monotonic() + 60
    while len(one.tickets()) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    (one.folder / "released").touch()
    state, reason, errors = one.end()
    assert ("complete", "") == (state, reason), errors
    excluded = [ticket["exclude"] for ticket in one.tickets()]
    assert [[], [], ["gpu0"]] == excluded


def test_a_setup_that_fails_on_two_nodes_ends_the_stage(begun: dict[str, Begun]) -> None:
    """The second round is on another node; then nothing more is tried."""
    one = begun["setup"]
    state, reason, errors = one.end()
    assert "stalled" == state, errors
    assert "obey: setup failed on cpu0 and cpu1: " in reason
    assert "there is no model here" in reason
    assert [0, 1] == [len(ticket["exclude"]) for ticket in one.tickets()]


@pytest.mark.long
def test_a_shard_that_was_not_done_in_time_gets_a_round_with_twice_as_much(tmp_path: Path, slurm: SlurmSite) -> None:
    """In a job of a minute, the shortest that Slurm has, and which it ends."""
    one = Begun(tmp_path, slurm, {"orders": ["walltime"], "options": {"resources": {"time": "1m"}}})
    state, reason, errors = one.end()
    assert ("complete", "") == (state, reason), errors
    assert "walltime" in one.history()
    (first, *_, last) = one.tickets()
    assert (60.0, True) == (first["seconds"], last["seconds"] > 60)
    assert "1 shard that was not done after 1 min; it has 2 min" == last["special"]
