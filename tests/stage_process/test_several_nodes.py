"""A program on several nodes: how it is started, how it ended, and where its ranks meet."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from hpcurate.stage_process.several_nodes import free_port, how_it_ended, in_folder, step

KILLED = "srun: error: cpu1: task 1: Killed\nsrun: launch/slurm: _step_signal: Terminating StepId=1.1\n"
TERMINATED = "srun: error: cpu0: task 0: Terminated\nsrun: Force Terminated StepId=1.1"
FAILED = "srun: error: cpu1: task 1: Exited with exit code 3\n"
NO_MEMORY = "slurmstepd-cpu1: error: StepId=1.2 exceeded memory limit (428294144 > 209715200), being killed\n"


@pytest.mark.parametrize(
    ("code", "end", "expected"),
    [
        (0, "", (0, 0, False)),
        (3, FAILED, (3, 0, False)),
        (143, FAILED + TERMINATED, (3, 0, False)),
        (143, KILLED + TERMINATED, (0, 15, False)),
        (137, KILLED, (0, 9, False)),
        (137, NO_MEMORY + KILLED, (0, 9, True)),
        (1, "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks", (0, 9, True)),
        (1, "srun: error: n3: task 2: Out Of Memory\n", (0, 9, True)),
        (1, "srun: error: Node failure on cpu1", (0, 9, False)),
    ],
)
def test_how_a_step_ended_is_how_its_first_rank_did(code: int, end: str, expected: tuple[int, int, bool]) -> None:
    """srun returns 143 whenever it has ended the other ranks, also where one has failed by itself."""
    assert expected == how_it_ended(code, end)


def test_a_port_is_nobody_elses(tmp_path: Path) -> None:
    """Two jobs on one node that begin at once are given two; one in use is not given at all."""
    with free_port() as one, free_port() as other:
        assert one != other
        with socket.socket() as trial:
            trial.bind(("", one))  # for the program


def test_a_rank_makes_its_folder_where_it_is_not_the_first_node(tmp_path: Path) -> None:
    """And removes it; how it ends is how the program does."""
    there, missing = tmp_path / "there", tmp_path / "hpcurate-program-x" / "work"
    there.mkdir()
    for folder in (there, missing):
        words = in_folder(str(folder), ["sh", "-c", "pwd; touch here; exit 3"])
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (3, f"{folder}\n") == (done.returncode, done.stdout)
    assert [there / "here"] == list(there.iterdir())
    assert not missing.parent.exists()
    killed = subprocess.run(in_folder(str(missing), ["sh", "-c", "kill -9 $$"]), check=False)
    assert killed.returncode == -9
    assert subprocess.run(in_folder(str(there), ["no-such"]), check=False, capture_output=True).returncode == 127


def test_a_step_says_all_that_srun_does_not_inherit() -> None:
    """Cores since 22.05, and the environment where a site or a user has SLURM_EXPORT_ENV=NONE."""
    assert (
        "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=4 --kill-on-bad-exit=1 --export=ALL"
        == " ".join(step(2, 4))
    )
