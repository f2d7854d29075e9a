"""Branches of a DAG on a real Slurm: at the same time, and what joins them afterwards."""

from __future__ import annotations

import re
import time

import pytest
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm

BRANCHES, JOIN = ("evaluate", "prune"), "retrain"
LATER = ("reevaluate", "infer", "export", "calibrate", "export_int8", "engine")


def without(*stages: str) -> list[str]:
    """What leaves these stages out of a pipeline."""
    return [f"~stages.{name}" for name in stages]


def test_a_join_waits_for_branches_that_run_at_the_same_time(shell: Shell, slurm: SlurmSite) -> None:
    """Retraining for evaluation and pruning. What is done before, by another launcher, is not done again."""
    shell.extra = dict(slurm.env)
    shell.inline("+pipeline=tao", *without(*BRANCHES, JOIN, *LATER))
    before = set(shell.store.glob("stages/*/rounds/*"))
    words = ["+pipeline=tao", "params.pause=2", *without(*LATER), "launcher=slurm", "wait=true", "timing.ask_s=1"]
    shell.type(*words, f"store={shell.store}")
    jobs = {stage: job_of(shell, stage) for stage in (*BRANCHES, JOIN)}
    began, ended = times_in(slurm, list(jobs.values()))
    evaluate, prune, retrain = jobs.values()
    assert max(began[evaluate], began[prune]) < min(ended[evaluate], ended[prune])
    assert began[retrain] >= max(ended[evaluate], ended[prune])
    new = {path.parents[1].name for path in set(shell.store.glob("stages/*/rounds/*")) - before}
    assert jobs.keys() == {name.rpartition("-")[0] for name in new}


def job_of(shell: Shell, stage: str) -> str:
    """Its one job."""
    (round_,) = shell.store.glob(f"stages/{stage}-*/rounds/*.job")
    (job,) = re.findall(r'"(\d+)"', round_.read_text())
    return str(job)


def times_in(slurm: SlurmSite, jobs: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """When they began and ended, as sacct has it: the controller writes it down every five seconds."""
    deadline = time.monotonic() + 20
    while True:
        table = slurm.run("sacct", "-X", "-n", "-P", "-o", "JobID,Start,End", "-j", ",".join(jobs))
        rows = [line.split("|") for line in table.splitlines()]
        if len(rows) == len(jobs) and all(start[:2] == end[:2] == "20" for _, start, end in rows):
            rows = [[name.partition("_")[0], *when] for name, *when in rows]
            return {name: start for name, start, _ in rows}, {name: end for name, _, end in rows}
        assert time.monotonic() < deadline, table
        time.sleep(0.2)
