"""Day one on a cluster, typed as a user types it, on a real Slurm: sweeps, the driver as a job, the plan."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from checkout import ROOT
from shell import Shell
from slurm_fixture import SlurmSite

pytestmark = pytest.mark.slurm


@pytest.fixture
def there(shell: Shell, slurm: SlurmSite) -> Shell:
    """A shell on a login node."""
    shell.extra = dict(slurm.env)
    return shell


def await_runs(shell: Shell, count: int, timeout: float = 90) -> list[str]:
    """States of the store's runs once none is running."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = [json.loads(p.read_text()) for p in sorted(shell.store.glob("runs/2*/summary.json"))]
        if len(found) == count and all(one["state"] != "running" for one in found):
            return [one["state"] for one in found]
        time.sleep(0.2)
    raise AssertionError(f"not {count} ended runs after {timeout} s: {[one['state'] for one in found]}")


def test_a_sweep_of_three_shares_its_early_stages(there: Shell, slurm: SlurmSite) -> None:
    """Three detached runs in one call: early shards are committed once, and tried once.

    The late stage comes from a loose file, which runs on compute nodes that never see the folder.
    """
    late = "++stages.last.mark=a,b,c"
    (there.cwd / "marks.py").write_text(
        "from hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
        "class Mark(Stage[HelloTask, HelloTask]):\n"
        "    def __init__(self, mark: str = '!') -> None:\n        self.mark = mark\n\n"
        "    def process(self, tasks):\n"
        "        for task in tasks:\n            task.prompt += self.mark\n        return tasks\n"
    )
    done = there.type("-m", "+pipeline=words", f"store={there.store}", "stages.last.file=marks.py", late)
    rows = re.findall(r"^(\d{8}-\d{6}-words-\w{6}) +stages\.last\.mark=([abc]) +(running|complete)$", done.stdout, re.M)
    assert [mark for _, mark, _ in rows] == ["a", "b", "c"]
    assert len({run for run, _, _ in rows}) == 3
    assert await_runs(there, 3) == ["complete"] * 3
    for stage in ("lower_case", "show", "word_count"):
        assert len(list(there.store.glob(f"stages/{stage}-*"))) == 1
        claims = [p.name for p in there.store.glob(f"stages/{stage}-*/claims/*/*") if not p.name.startswith(".")]
        assert all(name.endswith(".1") for name in claims), claims
    assert sorted(json.loads(row)["prompt"][-1] for row in there.rows("last")) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    slurm.wait_idle(30)


def test_the_driver_as_a_job_works_on_its_own_allocation(there: Shell, slurm: SlurmSite) -> None:
    """The wrapper takes the same words; inside the job `auto` means local, and the job ends with the run."""
    (there.folder / "bin").mkdir()
    command = there.folder / "bin" / "hpcurate"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hpcurate "$@"\n')
    command.chmod(0o755)
    environment = {**there.environment, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    import subprocess

    words = [
        "sbatch",
        "--parsable",
        "--wait",
        "--mem=1G",
        "--output=job.out",
        str(ROOT / "scripts" / "hpcurate.sbatch"),
    ]
    done = subprocess.run(
        [*words, "+pipeline=words", f"store={there.store}"],
        cwd=there.cwd, env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    told = (there.cwd / "job.out").read_text()
    assert done.returncode == 0, told + done.stderr
    assert f"launcher=local: inside job {done.stdout.strip()}: working on its own allocation" in told
    assert told.splitlines()[-1].endswith(": complete")
    assert slurm.squeue() == []


def test_a_read_only_current_folder_is_enough(there: Shell, slurm: SlurmSite) -> None:
    """Submitting, gates, workers and verbs write nothing there."""
    there.cwd.chmod(0o555)
    there.type("+pipeline=words", f"store={there.store}")
    assert await_runs(there, 1) == ["complete"]
    for verb in ("status", "logs", "explain"):
        there.type(verb)
    assert list(there.cwd.iterdir()) == []
    slurm.wait_idle(30)


def test_a_dry_run_shows_the_exact_script(there: Shell, slurm: SlurmSite) -> None:
    """The text that sbatch is then given, but for the name of the run, which has none yet."""
    words = ["+pipeline=words", f"store={there.store}", "stages.show.sbatch.comment=it's me"]
    foretold = there.type(*words, "dry_run=true").stdout
    assert not there.store.exists()
    there.type(*words)
    await_runs(there, 1)
    (script,) = there.store.glob("runs/2*/submissions/lower_case-0001/*_submission.sh")
    run = script.parent.parent.parent.name
    section = re.search(r"== sbatch script of lower_case\n(.*?)\n\n==", foretold, re.S)
    assert section is not None, foretold
    named = re.sub(r"(-r1-)[0-9a-f]{8}-", rf"\g<1>{sha256(run.encode()).hexdigest()[:8]}-", section[1])
    assert named.replace("/runs/RUN/", f"/runs/{run}/").strip() == Path(script).read_text().strip()
    slurm.wait_idle(30)
