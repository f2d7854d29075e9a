"""On a real Slurm: what the queue answers about jobs that wait, run, are over, or never were."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import msgspec
import pytest
from slurm_fixture import SlurmSite

from hpcurate.errors import LauncherError, SubmissionUnknown
from hpcurate.failures import Ending
from hpcurate.runs.launcher import Presence
from hpcurate.store.rounds import Jobs
from launchers.slurm.arrays import submit_array
from launchers.slurm.clients import CLIENTS
from launchers.slurm.facts import probe
from launchers.slurm.queue import SlurmQueue
from launchers.slurm.submit import BatchJob

pytestmark = pytest.mark.slurm


@pytest.fixture
def array(slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchJob:
    """Three elements that do not end by themselves."""
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    return BatchJob(
        folder=str(tmp_path / "job"), name=f"array-{tmp_path.name}", options={"mem": "10M", "time": 2},
        command="exec sleep 90", log="array-%A_%a.out", elements=3,
    )  # fmt: skip


def test_a_job_is_alive_until_it_is_cancelled(array: BatchJob, slurm: SlurmSite) -> None:
    """By id and by name; afterwards it is over."""
    queue = SlurmQueue()
    job = submit_array(array, needed=True, patience_s=0)
    assert job is not None
    jobs = Jobs(ids=(job,))
    assert queue.presence(jobs.ids) is Presence.ALIVE
    assert queue.find(array.name) == (job,)
    assert 3 == sum(row.count for row in queue.rows(jobs) or ())
    queue.cancel(jobs)
    slurm.wait_idle(30)
    assert queue.presence(jobs.ids) is Presence.ENDED
    assert queue.presence((*jobs.ids, "99999999")) is Presence.ABSENT
    assert queue.find(array.name) == (job,)
    assert queue.rows(jobs) == []


def test_what_was_never_queued_is_not_alive(array: BatchJob) -> None:
    """An answer, not silence."""
    queue = SlurmQueue()
    assert queue.presence(("99999999",)) is Presence.ABSENT
    assert queue.find("nobody-used-this-name") == ()
    assert queue.rows(Jobs()) == []


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that cannot be asked: nobody can tell."""
    monkeypatch.setenv("PATH", "/nowhere")
    queue = SlurmQueue()
    assert queue.presence(("1",)) is Presence.UNKNOWN
    assert queue.endings(("1",)) == {}
    assert queue.find("name") is None
    assert queue.rows(Jobs(ids=("1",))) is None


def test_what_is_submitted_is_what_is_shown(array: BatchJob, slurm: SlurmSite) -> None:
    """The script of a dry run is the one that sbatch got."""
    job = array.submit()
    kept = {path.read_text() for path in Path(array.folder).glob("*.sh")}
    SlurmQueue().cancel(Jobs(ids=(job,)))
    slurm.wait_idle(30)
    assert {array.script()} == kept


def test_a_user_who_looks_at_running_jobs_only(
    array: BatchJob, slurm: SlurmSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, with SQUEUE_STATES=RUNNING exported a pending array read as gone."""
    queue, job = SlurmQueue(), msgspec.structs.replace(array, options={**array.options, "hold": True}).submit()
    for name, value in (
        ("SQUEUE_STATES", "RUNNING"),
        ("SQUEUE_FORMAT", "%u"),
        ("SQUEUE_USERS", "nobody"),
        ("LOGNAME", "x"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SACCT_FORMAT", "User")
    assert queue.presence((job,)) is Presence.ALIVE
    assert queue.find(array.name) == (job,)
    queue.cancel(Jobs(ids=(job,)))


def test_many_fragmented_elements_are_all_counted(array: BatchJob, slurm: SlurmSite) -> None:
    """Before, squeue cut their ranges short: 172 elements read as 11."""
    job = msgspec.structs.replace(array, elements=301, options={**array.options, "hold": True}).submit()
    slurm.run("scancel", *(f"{job}_{index}" for index in range(0, 301, 2)))
    assert 150 == sum(row.count for row in SlurmQueue().rows(Jobs(ids=(job,))) or ())
    SlurmQueue().cancel(Jobs(ids=(job,)))


@pytest.mark.parametrize("name", ["100%j", "%A_%a %%", 'it\'s "so" $HOME', "#a ;b"])
def test_a_path_is_taken_as_it_is(array: BatchJob, slurm: SlurmSite, name: str) -> None:
    """Before, a job whose path held a pattern lost its log, or did not start."""
    folder = Path(array.folder) / name
    job = msgspec.structs.replace(array, folder=str(folder), command="echo here", elements=1).submit()
    slurm.wait_idle(30)
    assert "here\n" == (folder / f"array-{job}_0.out").read_text()


def test_a_host_without_squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, with what to type; before, only sbatch was looked for, and a host without srun could not submit."""
    for client in ("sbatch", "scontrol", "scancel", "sinfo"):
        (tmp_path / client).symlink_to(shutil.which(client) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LauncherError, match=r"has no squeue in PATH; load the site's Slurm .* or type launcher=local"):
        probe()


def test_a_host_without_srun_submits(
    array: BatchJob, slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on the submitting host needs it."""
    for client in CLIENTS:
        (tmp_path / client).symlink_to(shutil.which(client) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    job = array.submit()
    assert SlurmQueue().presence((job,)) is Presence.ALIVE
    SlurmQueue().cancel(Jobs(ids=(job,)))


@pytest.mark.parametrize(
    "ends", ["echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1", "kill -9 $$"]
)
def test_an_sbatch_whose_answer_is_lost(
    array: BatchJob, slurm: SlurmSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Its job is queued all the same, and is found by its name. Before, this was a refusal, and the round was over."""
    wrapper = tmp_path / "sbatch"
    wrapper.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" >/dev/null\n{ends}\n')
    wrapper.chmod(0o755)
    with monkeypatch.context() as lying:
        lying.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(SubmissionUnknown):
            submit_array(array, needed=True, patience_s=0)
    found = SlurmQueue().find(array.name)
    assert found
    assert len(found) == 1
    SlurmQueue().cancel(Jobs(ids=found))


def test_a_job_is_ours_by_its_whole_name(array: BatchJob, slurm: SlurmSite) -> None:
    """However long; names that begin with it are another's. Arrays by their own id, also while elements run."""
    long = msgspec.structs.replace(array, name="n" * 150, elements=2)
    job, other = long.submit(), msgspec.structs.replace(long, name="n" * 151).submit()
    queue = SlurmQueue()
    while not any(row["State"] == "RUNNING" for row in slurm.squeue()):
        time.sleep(0.1)
    assert ((job,), (other,), ()) == (queue.find("n" * 150), queue.find("n" * 151), queue.find("n" * 149))
    queue.cancel(Jobs(ids=(job, other)))
    slurm.wait_idle(30)


def test_how_elements_ended(array: BatchJob, slurm: SlurmSite) -> None:
    """Killed for memory; by a signal without evidence; left with an error; cancelled: only the first counts."""
    fill = "import time; kept = b'1' * 60_000_000; time.sleep(30)"
    command = f"""case $SLURM_ARRAY_TASK_ID in
    0) exec {sys.executable} -c "{fill}";; 1) kill -9 $$;; 2) exit 3;; *) sleep 60;; esac"""
    job = msgspec.structs.replace(array, command=command, elements=4, options={"mem": "20M", "time": 2}).submit()
    while [f"{job}_3"] != [row["JobID"] for row in slurm.squeue()]:
        time.sleep(0.1)
    slurm.run("scancel", f"{job}_3")
    slurm.wait_idle(30)
    said = {id: end.ending for id, end in SlurmQueue().endings((job,)).items()}
    assert {f"{job}_0": Ending.OOM, f"{job}_1": None, f"{job}_2": None, f"{job}_3": Ending.FREE} == said


def test_the_cluster_that_answers(slurm: SlurmSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By name, of the SLURM_CONF that is set now; not known where nobody answers."""
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    name = SlurmQueue().cluster()
    assert name
    assert f"ClusterName={name}\n" in Path(slurm.env["SLURM_CONF"]).read_text()
    silent = (
        "ClusterName=other\nSlurmctldHost=nowhere(127.0.0.1)\nSlurmctldPort=1\nMessageTimeout=1\nSlurmctldTimeout=1\n"
    )
    (tmp_path / "slurm.conf").write_text(silent)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    assert SlurmQueue().cluster() is None
