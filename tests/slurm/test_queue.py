"""On a real Slurm: what the queue answers about jobs that wait, run, are over, or never were."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_fixture import SlurmSite

from hpcurate.store.rounds import Jobs
from launchers.slurm.arrays import submit_array
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
    assert queue.alive(jobs.ids) is True
    assert queue.find(array.name) == (job,)
    assert 3 == sum(row.count for row in queue.rows(jobs) or ())
    queue.cancel(jobs)
    slurm.wait_idle(30)
    assert queue.alive(jobs.ids) is False
    assert queue.rows(jobs) == []


def test_what_was_never_queued_is_not_alive(array: BatchJob) -> None:
    """An answer, not silence."""
    queue = SlurmQueue()
    assert queue.alive(("99999999",)) is False
    assert queue.find("nobody-used-this-name") == ()
    assert queue.rows(Jobs()) == []


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that cannot be asked: nobody can tell."""
    monkeypatch.setenv("PATH", "/nowhere")
    queue = SlurmQueue()
    assert queue.alive(("1",)) is None
    assert queue.find("name") is None
    assert queue.rows(Jobs(ids=("1",))) is None


def test_what_is_submitted_is_what_is_shown(array: BatchJob, slurm: SlurmSite) -> None:
    """The script of a dry run is the one that sbatch got."""
    job = array.submit()
    kept = {path.read_text() for path in Path(array.folder).glob("*.sh")}
    SlurmQueue().cancel(Jobs(ids=(job,)))
    slurm.wait_idle(30)
    assert {array.script()} == kept
