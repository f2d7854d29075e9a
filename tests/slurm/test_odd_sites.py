"""Sites made different, on a real Slurm: a run completes or is refused with the fix, and never hangs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from shell import Shell
from slurm_fixture import running_slurm

pytestmark = pytest.mark.slurm
TEN = "source.prompts=[a,b,c,d,e,f,g,h,i,j]"


def await_end(shell: Shell, timeout: float = 60) -> str:
    """State of the latest run once it is not running."""
    deadline = time.monotonic() + timeout
    state = "running"
    while state == "running" and time.monotonic() < deadline:
        time.sleep(0.5)
        state = json.loads((shell.store / "runs" / "latest" / "summary.json").read_text())["state"]
    return state


def test_small_arrays_few_jobs_no_default_memory(shell: Shell) -> None:
    """MaxArraySize 4, six jobs a user, gate included: two arrays of five elements in all do ten shards.

    The doctor finds all of it from nothing, and writes the profile that later commands use.
    """
    with running_slurm("--max-array-size", "4", "--max-submit-jobs", "6", "--no-default-mem") as site:
        shell.extra = dict(site.env)
        printed = shell.type("doctor", "--store", str(shell.store), "--write").stdout
        for line in (
            "MaxArraySize         4",
            "submit limit         6",
            "default memory       UNLIMITED",
            "jobs may submit      yes",
        ):
            assert line in printed
        assert "ran on cpu" in printed
        shell.type("+pipeline=words", TEN, "launcher=slurm")
        assert await_end(shell) == "complete"
        (job,) = shell.store.glob("stages/lower_case-*/rounds/0001.job")
        assert 2 == len(json.loads(job.read_text())["jobs"])
        site.wait_idle(30)  # the last gate has written the summary, and may not have left
        blockers = [site.sbatch("--hold", script="true") for _ in range(6)]
        refused = shell.type(
            "+pipeline=words", TEN, "name=other", "launcher=slurm", "launcher.patience_s=0", "rerun=show", status=2
        )
        assert "the site lets you queue 6 jobs, and 6 of yours are queued" in refused.stderr
        site.run("scancel", *blockers)
        shell.type("+pipeline=words", TEN, "name=other", "launcher=slurm")
        assert await_end(shell) == "complete"


def test_limits_that_leave_no_room_for_gates(shell: Shell) -> None:
    """An account or quality that is not the user's is refused before anything is written, as is a limit of two.

    A group's limit, which nobody sees: an element of the array makes room for the gate; where there is but one
    element, the call says that nothing moves on after it, or with wait=true does so itself.
    """
    with running_slurm("--max-submit-jobs", "2") as site:
        shell.extra = dict(site.env)
        for word, refusal in (
            (
                "launcher.account=nobodys",
                "Invalid account or account/partition combination specified; you may charge dev, root",
            ),
            ("launcher.qos=nobodys", "stages.lower_case: sbatch refuses its options: allocation failure: Invalid qos"),
            (
                "launcher.gate={constraint: x}",
                "launcher.gate: sbatch refuses its options: allocation failure: Invalid feature",
            ),
            ("stages.show.sbatch.odd=1", "stages.show: sbatch refuses its options"),
            ("name=few", "the site lets you queue 2 jobs; a gate, the array that it submits"),
        ):
            refused = shell.type("+pipeline=words", TEN, f"store={shell.store}", "launcher=slurm", word, status=2)
            assert refusal in refused.stderr
            assert not shell.store.exists()
        words = ["+pipeline=words", TEN, f"store={shell.store}", "launcher=slurm"]
        assert "complete" in shell.type(*words, "site.nodes_may_submit=false").stdout
        site.run("sacctmgr", "-i", "modify", "qos", "normal", "set", "MaxSubmitJobsPerUser=-1")
        site.run("sacctmgr", "-i", "modify", "account", "root", "set", "GrpSubmitJobs=3")
        shell.type(*words, "rerun=show")
        assert await_end(shell) == "complete"
        site.wait_idle(30)
        blockers = [site.sbatch("--hold", "--mem=10M", script="true") for _ in range(2)]
        left = shell.type(*words, "rerun=show", "launcher.patience_s=0", status=1)
        assert "an array is queued, its gate is not (sbatch refused gate-" in left.stdout
        assert "or now wait=true" in left.stdout
        assert ": complete" in shell.type(*words, "wait=true").stdout
        site.run("scancel", *blockers)


def test_no_accounting_and_two_minutes(shell: Shell) -> None:
    """What is longer than the partition allows is refused with the fix; what fits completes, gates, too."""
    with running_slurm("--no-accounting", "--partition-time-limit", "2") as site:
        shell.extra = dict(site.env)
        words = ["+pipeline=words", f"store={shell.store}", "launcher=slurm"]
        refused = shell.type(*words, status=2).stderr
        assert "partition cpu allows 2 min; set stages.lower_case.resources.time=2m" in refused
        assert not shell.store.exists()
        times = [f"stages.{name}.resources.time=2m" for name in ("lower_case", "show", "word_count")]
        shell.type(*words, *times)
        assert await_end(shell) == "complete"
        printed = shell.type("doctor", "--store", str(shell.store), "--no-job").stdout
        assert "accounting      no" in printed
        assert "cpu (default): 2 min" in printed
        for verb in ("status", "why", "runs", "logs"):
            shell.type(verb)


def test_jobs_may_not_submit(shell: Shell, tmp_path: Path) -> None:
    """The doctor finds out; with its profile the call stays and completes, without a gate."""
    prolog = tmp_path / "prolog.sh"
    (tmp_path / "slurm.conf").write_text("NodesHaveNone=here\n")
    prolog.write_text(f'#!/bin/sh\necho "export SLURM_CONF={tmp_path}/slurm.conf"\n')
    prolog.chmod(0o755)
    with running_slurm("--no-accounting", "--conf", f"TaskProlog={prolog}") as site:
        shell.extra = dict(site.env)
        printed = shell.type("doctor", "--store", str(shell.store), "--write").stdout
        assert "jobs may submit      no" in printed
        done = shell.type("+pipeline=words", "launcher=slurm")
        assert done.stdout.splitlines()[-1].endswith(": complete")
        assert not list(shell.store.glob("runs/2*/gates/*.out"))
