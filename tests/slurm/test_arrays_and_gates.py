"""On a real Slurm: arrays, gates, kills, two runs at once, bad input. One array a stage and round."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from driven import Site, comparable, no_double_commit
from engine_stages import Number, SeesGpus, SeesNode
from slurm_fixture import SlurmSite, running_slurm

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.report.hours import hours_by_stage
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import find_run
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store
from hpcurate.store.worker_records import read_worker_records

pytestmark = pytest.mark.slurm


def await_end(site: Site, slurm: SlurmSite, timeout: float = 90) -> str:
    """State of the run once it is no longer running, or the queue is empty."""
    deadline = time.monotonic() + timeout
    while site.summary()["state"] == "running" and time.monotonic() < deadline:
        if not slurm.squeue():
            time.sleep(1)
            break
        time.sleep(0.2)
    return str(site.summary()["state"])


def command(*words: str, slurm: SlurmSite, **options: object) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    environment = {**os.environ, **slurm.env}
    line = [sys.executable, "-m", "hpcurate", *words]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_submits_leaves_and_the_result_is_there_later(
    there: Site, slurm: SlurmSite, undisturbed: dict[str, str]
) -> None:
    """The call returns leaving no process of ours; gates move the run on; the tree is the same (I7, I2)."""
    process = there.start("slurm")
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert await_end(there, slurm) == "complete"
    assert comparable(there) == undisturbed
    no_double_commit(there)


def test_one_array_per_stage_on_the_configured_partition(there: Site, slurm: SlurmSite, tmp_path: Path) -> None:
    """Seen in sacct: three stages, one array each, on the partition that was asked for; hours are those of sacct."""
    store = tmp_path / "words"
    done = command("+pipeline=words", f"store={store}", "launcher=slurm", "launcher.partition=gpu", slurm=slurm)
    assert done.returncode == 0, done.stderr
    there_store = store / "runs" / "latest" / "summary.json"
    deadline = time.monotonic() + 60
    while '"running"' in there_store.read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert '"complete"' in there_store.read_text()
    jobs = [p.read_text() for p in sorted(store.glob("stages/*/rounds/*.job"))]
    ids = [job for text in jobs for job in re.findall(r'"(\d+)"', text)]
    assert len(ids) == 3
    slurm.wait_idle(30)
    deadline, expected = time.monotonic() + 20, {("gpu", "COMPLETED")}
    while (seen := {(row["Partition"], row["State"]) for row in slurm.sacct(ids)}) != expected:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)  # accounting learns the partition of short jobs only every five seconds
    rows = slurm.run("sacct", "-X", "-n", "-P", "-o", "ElapsedRaw,AllocCPUS", "-j", ",".join(ids)).splitlines()
    accounted = sum(int(seconds) * int(cpus) for seconds, cpus in (row.split("|") for row in rows))
    hours = hours_by_stage(RunView(find_run(Store(str(store)), None)))
    counted = 3600 * sum(one.cpu.given for one in hours)
    workers = sum(one.workers for one in hours)
    assert accounted - 5 * workers <= counted <= accounted + workers, (rows, hours)  # whole seconds; leaving takes time
    assert len(rows) == workers


def test_processes_see_the_gpus_that_they_asked_for(
    slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four at gpus=0.25 one device, with a quarter of its memory each; one at gpus=2 two. As Slurm has named them."""
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    some = {"memory": "200MB", "time": "5m"}
    steps = {
        name: Step(SeesGpus(str(tmp_path / name)), StageOptions(after=[], workers=1, resources={**some, **resources}))
        for name, resources in {"quarter": {"gpus": 0.25, "cpus": 0.25}, "two": {"gpus": 2}}.items()
    }
    emulated = {"_target_": "launchers.slurm.SlurmLauncher", "partition": "gpu", "site": {"gpu_probe": False}}
    outcome = hpcurate.run(steps, [Number(id="a", value=1)], store=tmp_path / "store", launcher=emulated, wait=True)
    assert "complete" == outcome.state.value
    seen = {name: [path.read_text().split() for path in (tmp_path / name).iterdir()] for name in steps}
    assert (4, 1, {("cuda", "0.25")}) == (
        len(seen["quarter"]),
        len({tokens for tokens, *_ in seen["quarter"]}),
        {(device, share) for _, device, share in seen["quarter"]},
    )
    [(tokens, device, share)] = seen["two"]
    assert (2, "cuda", "1") == (len(set(tokens.split(","))), device, share)


def test_so_many_processes_on_each_node(slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`workers_per_node=2`: two on each of two nodes, though one has room for all four: each worker
    has all of its node.
    """
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    options = StageOptions(workers_per_node=2, workers=2, shard_tasks=1, resources={"memory": "200MB", "time": "5m"})
    steps = {"bound": Step(SeesNode(str(tmp_path / "seen")), options)}
    numbers = [Number(id=str(k), value=k) for k in range(8)]
    outcome = hpcurate.run(
        steps, numbers, store=tmp_path / "store", launcher="slurm", wait=True, timing=Timing(ask_s=1)
    )
    assert "complete" == outcome.state.value
    seen = Counter(path.read_text() for path in (tmp_path / "seen").iterdir())
    assert {"cpu0": 2, "cpu1": 2} == seen
    (submission,) = (tmp_path / "store").glob("runs/2*/submissions/bound-*")
    records = read_worker_records(POSIX, str(submission))
    assert {("cpu0", 2, 16), ("cpu1", 2, 16)} == {(one.node, one.processes, one.cpus) for one in records}


def test_an_element_killed_alone_is_made_up_for(there: Site, slurm: SlurmSite, undisturbed: dict[str, str]) -> None:
    """kill -9 of one supervisor while others work: the run completes without anybody typing anything."""
    there.drive("slurm", "--sleep", "0.1")
    deadline = time.monotonic() + 30
    while not there.claims() and time.monotonic() < deadline:
        time.sleep(0.05)
    claim = next(p for p in there.store.glob("stages/*/claims/*/*.1") if not p.name.startswith("."))
    os.kill(int(re.search(r'"pid": (\d+)', claim.read_text())[1]), signal.SIGKILL)  # type: ignore[index]
    assert await_end(there, slurm) == "complete"
    assert comparable(there) == undisturbed
    no_double_commit(there)


def test_a_requeued_element_goes_on(there: Site, slurm: SlurmSite, undisturbed: dict[str, str]) -> None:
    """Preemption and requeue are free: shards are handed back, not counted against."""
    there.drive("slurm", "--sleep", "0.1")
    deadline = time.monotonic() + 30
    while not there.claims() and time.monotonic() < deadline:
        time.sleep(0.05)
    array = next(row["JobID"] for row in slurm.squeue() if row["State"] == "RUNNING")
    slurm.run("scontrol", "requeue", array)
    assert await_end(there, slurm) == "complete"
    assert comparable(there) == undisturbed
    endings = {p.suffix for p in there.store.glob("stages/*/claims/*/*") if not p.suffix[1:].isdigit()}
    assert endings <= {".free"}


def test_two_runs_in_the_same_second(there: Site, slurm: SlurmSite) -> None:
    """Every shard committed once, both complete, one array a stage and round."""
    elsewhere = Site(there.folder, env=there.env)
    first = there.start("slurm", "--sleep", "0.02")
    second = elsewhere.start("slurm", "--sleep", "0.02", "--output", str(there.folder / "other"))
    assert [first.wait(60), second.wait(60)] == [0, 0]
    runs = [p for p in (there.store / "runs").iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != "."]
    assert len(runs) == 2
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and any('"running"' in (r / "summary.json").read_text() for r in runs):
        time.sleep(0.3)
    assert all('"complete"' in (r / "summary.json").read_text() for r in runs)
    assert len(there.claims()) == len(there.attempts())
    for stage in ("double", "digits"):
        assert len(list(there.store.glob(f"stages/{stage}-*/rounds/*.ticket"))) == 1


def test_the_same_pipeline_on_two_stores(there: Site, slurm: SlurmSite, tmp_path: Path) -> None:
    """Before, B, whose submitter had died before its job, adopted A's array by its name, and `cancel` on B killed it."""
    (tmp_path / "b").mkdir()
    other = Site(tmp_path / "b", env=there.env)
    there.drive("slurm", "--sleep", "0.3")
    other.drive("slurm", "--sleep", "0.3", failpoints=f"submit.before@{other.folder / 'died'}")
    running = {row["JobID"] for row in slurm.squeue()}
    status = command("status", "--store", str(other.store), slurm=slurm)
    assert status.returncode in (0, 1), status.stderr
    assert not (set(re.findall(r"\d+", status.stdout)) & running)
    command("cancel", "--store", str(other.store), slurm=slurm)
    assert running
    assert await_end(there, slurm) == "complete"
    assert set() == {row["JobID"] for row in slurm.sacct(sorted(running)) if row["State"].startswith("CANCELLED")}
    no_double_commit(there)


def test_cancel_stops_jobs_and_gates_and_the_command_goes_on(there: Site, slurm: SlurmSite) -> None:
    """What a user cancelled stays cancelled until the user types the command again."""
    there.drive("slurm", "--sleep", "0.3")
    done = command("cancel", "--store", str(there.store), slurm=slurm)
    assert done.returncode == 0, done.stderr
    slurm.wait_idle(60)
    assert there.summary()["state"] == "cancelled"
    assert there.drive("slurm", "--wait").status == 0


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["launcher.partition=gpuu"], "partition gpuu: there is no such partition; did you mean 'gpu'?"),
        (["stages.show.sbatch.partition=x"], "stages.show: partition x: there is no such partition"),
    ],
)
def test_a_partition_that_is_not_there_is_refused(
    slurm: SlurmSite, tmp_path: Path, words: list[str], refusal: str
) -> None:
    """Exit 2, the key, nothing written or submitted."""
    before = {job["JobID"] for job in slurm.squeue()}  # a gate of the test before may be at its end
    done = command("+pipeline=words", f"store={tmp_path / 's'}", "launcher=slurm", *words, slurm=slurm)
    assert (done.returncode, refusal in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "s").exists()
    assert {job["JobID"] for job in slurm.squeue()} <= before


def test_sbatchs_own_refusal_is_passed_on(slurm: SlurmSite, tmp_path: Path) -> None:
    """An option Slurm refuses ends with its words, before anything is written."""
    words = ["stages.lower_case.sbatch.constraint=nosuchfeature", "launcher=slurm", f"store={tmp_path / 's'}"]
    done = command("+pipeline=words", *words, slurm=slurm)
    assert done.returncode == 2
    assert "stages.lower_case: sbatch refuses its options: " in done.stderr
    assert "feature" in done.stderr.lower()
    assert not (tmp_path / "s").exists()


def test_arrays_are_split_where_the_site_asks_for_it(tmp_path: Path) -> None:
    """MaxArraySize 2 and three workers: two arrays of one name, one round, same result."""
    with running_slurm("--no-accounting", "--max-array-size", "2") as site:
        there = Site(tmp_path, env=dict(site.env))
        there.drive("slurm")
        assert await_end(there, site) == "complete"
        (job,) = there.store.glob("stages/double-*/rounds/0001.job")
        assert len(re.findall(r'"(\d+)"', job.read_text())) == 2
