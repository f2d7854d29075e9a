"""`scripts/dev-slurm` gives a real Slurm that behaves like a cluster, and takes it away without a trace."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_fixture import SCRIPT, SlurmSite, dev_slurm, discard, new_folder, running_slurm, start_time, stop_stale

pytestmark = pytest.mark.slurm


def eventually(condition: Callable[[], bool], timeout: float = 20) -> None:
    """Wait until the condition holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def alive(pids: dict[int, int]) -> list[int]:
    """Which of these processes, pid to start time, still run."""
    return [pid for pid, start in pids.items() if start_time(pid) == start]


def daemons(site: SlurmSite) -> dict[int, int]:
    """What `up` recorded: pid to start time."""
    lines = [path.read_text().split() for path in (site.folder / "pids").iterdir()]
    return {int(pid): int(start) for pid, start in lines}


def test_four_nodes_are_idle(slurm: SlurmSite) -> None:
    """`up` returns when all four nodes take jobs, each in the partitions where it belongs."""
    slurm.wait_idle(timeout=20)
    rows = slurm.run("sinfo", "-h", "-N", "-o", "%R %N %G %T").splitlines()
    expected = {
        f"{partition} {kind}{index} {'gpu:4' if kind == 'gpu' else '(null)'} idle"
        for partition, kinds in {
            "cpu": ["cpu"],
            "gpu": ["gpu"],
            "low": ["cpu", "gpu"],
            "high": ["cpu", "gpu"],
        }.items()
        for kind in kinds
        for index in range(2)
    }
    assert expected == set(rows)


def test_env_points_a_shell_at_it(slurm: SlurmSite) -> None:
    """`eval "$(dev-slurm env)"` is all a shell needs."""
    exports = dev_slurm("env", slurm.folder).stdout
    shell = f"{exports}\nscontrol show config | grep -c {slurm.folder}/state"
    assert "1" == subprocess.check_output(["sh", "-c", shell], text=True).strip()


def test_gpu_job_sees_its_gpus(slurm: SlurmSite) -> None:
    """Slurm hands out the fake GPUs as it does real ones."""
    show = "echo $CUDA_VISIBLE_DEVICES"
    assert "0,1\n" == slurm.run("srun", "-p", "gpu", "--gres=gpu:2", "sh", "-c", show)


def test_array_shows_in_sacct(slurm: SlurmSite, tmp_path: Path) -> None:
    """Array elements run at once, and accounting knows soon how each ended."""
    out = f"--output={tmp_path}/%a"
    job = slurm.sbatch("--array=0-9", out, script="exit $((SLURM_ARRAY_TASK_ID == 7))")
    slurm.wait_idle(timeout=20)
    expected = {f"{job}_{index}": "COMPLETED" for index in range(10)} | {f"{job}_7": "FAILED"}

    def states() -> dict[str, str]:
        return {row["JobID"]: row["State"] for row in slurm.sacct([job])}

    eventually(lambda: states() == expected, timeout=15)


def test_high_preempts_low(slurm: SlurmSite, tmp_path: Path) -> None:
    """A job in `high` takes the node of one in `low`, which is requeued and runs again."""
    runs = tmp_path / "runs"
    script = f'echo run ${{SLURM_RESTART_COUNT:-0}} >>{runs}; test "$SLURM_RESTART_COUNT" || sleep 60'
    options = ("-w", "cpu0", "--exclusive", "--output=/dev/null")
    low = slurm.sbatch("-p", "low", *options, script=script)
    eventually(runs.exists)
    high = slurm.sbatch("-p", "high", *options, script=f"echo high >>{runs}")
    slurm.wait_idle(timeout=30)
    assert ["run 0", "high", "run 1"] == runs.read_text().splitlines()
    assert {low, high} == {row["JobID"] for row in slurm.sacct([low, high])}


def test_up_again_says_so(slurm: SlurmSite) -> None:
    """`up` is idempotent, but does not pretend that other options took effect."""
    again = dev_slurm("up", slurm.folder)
    assert (0, True) == (again.returncode, again.stdout.startswith("already up"))
    other = dev_slurm("up", slurm.folder, "--max-array-size", "9")
    assert (1, True) == (other.returncode, "with other options" in other.stderr)


def test_each_checkout_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """`up` in one checkout never meets the Slurm of another; without `--dir` nothing has to be said for that."""
    (tmp_path / "other").mkdir()
    shutil.copytree(SCRIPT.parent, tmp_path / "other" / "scripts")

    def folder(script: Path) -> str:
        shown = subprocess.check_output(
            [sys.executable, script, "up", "--help"], env={**os.environ, "COLUMNS": "500"}, text=True
        )
        return re.search(r"its folder \(default: (\S+)\)", shown)[1]  # type: ignore[index]

    mine, other = folder(SCRIPT), folder(tmp_path / "other" / "scripts" / SCRIPT.name)
    assert mine == folder(SCRIPT)
    assert mine != other
    assert Path(mine).parent == Path(other).parent == Path("/tmp")


def test_down_when_nothing_runs_needs_no_force() -> None:
    """A `down` without jobs stops everything at once."""
    with running_slurm("--no-accounting") as site:
        job = site.sbatch(script="true")
        eventually(lambda: [] == site.squeue())
        assert job
        assert 0 == dev_slurm("down", site.folder).returncode
        assert not site.folder.exists()


def test_two_coexist_and_down_leaves_nothing(slurm: SlurmSite, tmp_path: Path) -> None:
    """A second site has its own jobs and options; its `down` stops all of its processes, and no other."""
    options = (
        "--no-accounting",
        "--no-default-mem",
        "--max-array-size",
        "20",
        "--partition-time-limit",
        "10",
    )
    with running_slurm(*options, "--conf", "MinJobAge=7") as other:
        pid_file = tmp_path / "pids"
        # One child leaves the job's process tree, and nothing of it ends when asked to.
        runaway = f"trap '' TERM; setsid sh -c 'echo $$ >>{pid_file}; sleep 99' & echo $$ >>{pid_file}; sleep 99"
        job = other.sbatch("--output=/dev/null", script=runaway)
        eventually(lambda: pid_file.exists() and len(pid_file.read_text().split()) == 2)

        config = other.run("scontrol", "show", "config")
        assert "MinJobAge               = 7 sec" in config
        assert "DefMemPerNode           = UNLIMITED" in config
        assert "10:00" == other.run("sinfo", "-h", "-p", "cpu", "-o", "%l").strip()
        with pytest.raises(subprocess.CalledProcessError):
            other.sbatch("--array=20", script="true")
        assert [job] == [row["JobID"] for row in other.squeue()]
        assert [] == slurm.squeue()

        pids = daemons(other) | {int(pid): start_time(int(pid)) for pid in pid_file.read_text().split()}
        assert list(pids) == alive(pids)
        refused = dev_slurm("down", other.folder)
        assert 1 == refused.returncode
        assert f"job {job} (wrap) of root, RUNNING, submitted from {other.folder}" in refused.stderr
        assert f"--dir {other.folder} --force`" in refused.stderr
        assert list(pids) == alive(pids), "a refused `down` stops nothing"
        assert 0 == dev_slurm("down", other.folder, "--force").returncode
    assert [] == alive(pids)
    assert not other.folder.exists()
    assert list(daemons(slurm)) == alive(daemons(slurm))
    assert "still here\n" == slurm.run("srun", "echo", "still here")


def test_submit_limit_is_enforced() -> None:
    """`--max-submit-jobs` counts every array element, as on a site with a QOS limit."""
    with running_slurm("--max-submit-jobs", "3") as site:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            site.sbatch("--array=0-3", "--output=/dev/null", script="true")
        assert "AssocMaxSubmitJobLimit" in refused.value.stderr or "QOSMaxSubmit" in refused.value.stderr
        site.sbatch("--array=0-2", "--output=/dev/null", script="true")
        site.wait_idle(timeout=20)


def test_failed_up_shows_the_log_and_cleans_up() -> None:
    """A daemon that refuses its configuration is named, the end of its log shown, and nothing stays."""
    folder = new_folder(os.getpid())
    failed = dev_slurm("up", folder, "--no-accounting", "--conf", "SelectType=select/none")
    assert 1 == failed.returncode
    assert "slurmctld ended while starting" in failed.stderr
    assert "select/none" in failed.stderr
    assert not folder.exists()


def test_a_daemon_that_was_killed_starts_again() -> None:
    """Controller and nodes come back with what they had: the job that ran meanwhile ends, and the next one starts."""
    with running_slurm("--no-accounting") as site:
        site.sbatch("-w", "cpu0", script="sleep 2")
        eventually(lambda: [row["State"] for row in site.squeue()] == ["RUNNING"])
        for name in ("slurmd-cpu0", "slurmctld"):
            os.kill(int((site.folder / "pids" / name).read_text().split()[0]), signal.SIGKILL)
        for name in ("slurmctld", "slurmd-cpu0"):
            done = dev_slurm("start", site.folder, name)
            assert 0 == done.returncode, done.stderr
        site.wait_idle(timeout=30)
        assert "again\n" == site.run("srun", "-w", "cpu0", "echo", "again")
        refused = dev_slurm("start", site.folder, "slurmd-cpu7")
        assert (1, True) == (refused.returncode, "slurmctld, slurmd-cpu0" in refused.stderr)


def test_half_dead_and_stale_ones_are_stopped() -> None:
    """What a killed test session left, even without its controller, is stopped by the next session."""
    owner = subprocess.Popen(["sleep", "60"])
    folder = new_folder(owner.pid)
    try:
        assert 0 == dev_slurm("up", folder, "--no-accounting").returncode
        pids = daemons(SlurmSite(folder))
        controller = int((folder / "pids" / "slurmctld").read_text().split()[0])
        os.kill(controller, signal.SIGKILL)
        eventually(lambda: controller not in alive(pids))
        stop_stale()
        assert len(pids) - 1 == len(alive(pids)), "while its owner lives nobody else stops it"
        assert "half up" in dev_slurm("up", folder, "--no-accounting").stderr
        owner.kill()
        owner.wait()
        stop_stale()
        assert [] == alive(pids)
        assert not folder.exists()
    finally:
        owner.kill()
        discard(folder)
