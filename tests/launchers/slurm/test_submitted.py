"""What sbatch's answer means: queued, refused, or open. Pure."""

from __future__ import annotations

import subprocess

import pytest

from hpcurate.errors import LauncherError, SubmissionUnknown
from launchers.slurm.limits import is_limit
from launchers.slurm.submit import submitted


def answer(status: int, out: str = "", err: str = "") -> subprocess.CompletedProcess[str]:
    """Of an sbatch."""
    return subprocess.CompletedProcess(["sbatch"], status, out, err)


@pytest.mark.parametrize(
    "out",
    [
        "12\n",
        "12;cluster\n",
        "Welcome 2026\n\n12\n",
        "Submitted batch job 12\n",
        "Submitted batch job 12 on cluster c\n",
    ],
)
def test_the_id_is_read(out: str) -> None:
    """Also where a site's wrapper prints more."""
    assert "12" == submitted("job", answer(0, out))


REFUSED = [
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
    "sbatch: error: Batch job submission failed: I/O error writing script/environment to file",
    "sbatch: unrecognized option '--odd=1'\nTry \"sbatch --help\" for more information",
    "sbatch: fatal: Unable to open file /s/x.sh",
]


@pytest.mark.parametrize("err", REFUSED)
def test_what_slurm_refuses_is_not_queued(err: str) -> None:
    """With its words, and the job's name."""
    with pytest.raises(LauncherError, match=r"^sbatch refused job: ") as refused:
        submitted("job", answer(1, err=err))
    assert not isinstance(refused.value, SubmissionUnknown)


OPEN = [
    answer(1, err="sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"),
    answer(1, err="sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"),
    answer(1, err="sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received"),
    answer(1, err="sbatch: error: slurm_receive_msgs: Communication connection failure"),
    answer(1, err="sbatch: error: Batch job submission failed: Transport endpoint is not connected"),
    answer(1, err="slurm_load_jobs error: Slurm backup controller in standby mode"),
    answer(1, err="sbatch: error: Batch job submission failed: Connection refused"),
    answer(1),
    answer(1, out="12\n", err="sbatch: error: Invalid something"),
    answer(0),
    answer(0, out="thank you\n"),
    answer(-9),
    answer(-2, err="sbatch: error: Invalid account"),
]


@pytest.mark.parametrize("done", OPEN)
def test_whether_it_is_queued_is_open(done: subprocess.CompletedProcess[str]) -> None:
    """Before, all of these were refusals: the round was marked over while its workers ran."""
    with pytest.raises(SubmissionUnknown):
        submitted("job", done)


def test_a_submission_that_is_open_is_never_repeated_with_fewer_elements() -> None:
    """Even if its words are those of a limit."""
    assert not is_limit(SubmissionUnknown("Resource temporarily unavailable"))
