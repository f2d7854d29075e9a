"""On a real Slurm whose clients lie once: nobody alive is declared dead, and nothing is submitted twice.

Each lie is told by a wrapper of the real client, first on PATH, which keeps a count of its calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from driven import Site, comparable, no_double_commit
from engine_stages import Number, OneLong
from slurm_fixture import SlurmSite, running_slurm

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.state import RunState
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.world import World

pytestmark = pytest.mark.slurm

WRAPPER = """#!/bin/bash
real=$(PATH=${{PATH#{folder}:}} command -v {client})
case " $* " in *" --test-only "*) exec $real "$@";; esac
echo x >>{folder}/calls
[ "$(wc -l <{folder}/calls)" = {call} ] || exec $real "$@"
{lie}
"""
LOST = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'


def lying(folder: Path, client: str, lie: str, call: int = 1) -> str:
    """A PATH on which that call of the client is answered by a lie."""
    folder.mkdir()
    program = folder / client
    program.write_text(WRAPPER.format(folder=folder, client=client, call=call, lie=lie))
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def lost_on_its_way(
    slurm: SlurmSite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, subprocess.Popen[str]]]:
    """A run whose first sbatch never arrives: it waits for a while, and other tests with it."""
    folder = tmp_path_factory.mktemp("lost")
    site = Site(folder, env={**slurm.env, "PATH": lying(folder / "lost", "sbatch", LOST)})
    run = site.start("slurm", "--wait")
    yield site, run
    run.kill()
    run.communicate()


def verb(site: Site, *words: str, **env: str) -> str:
    """What a verb prints about the latest run."""
    command = [sys.executable, "-m", "hpcurate", *words, "--store", str(site.store)]
    environment = {**os.environ, **site.env, **env}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False).stdout


def await_end(site: Site, timeout: float = 120) -> str:
    """State of the run once it is not running."""
    deadline = time.monotonic() + timeout
    while site.summary()["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    return str(site.summary()["state"])


def tickets(site: Site, stage: str) -> list[str]:
    """Rounds of a stage."""
    return sorted(p.name for p in site.store.glob(f"stages/{stage}-*/rounds/*.ticket"))


def overs(site: Site) -> list[str]:
    """Rounds that are over."""
    return sorted(p.name for p in site.store.glob("stages/*/rounds/*.over"))


@pytest.mark.usefixtures("lost_on_its_way")
def test_one_empty_answer_ends_no_round(there: Site, slurm: SlurmSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty answer of squeue, another cluster's, and one more empty answer to a call that stays.

    Each of them was the end of the round: idle workers claimed attempts 2 to 6 of the one long task, the sixth wrote
    dead letters, the run was complete, exit status 0. The task is in work until the call has asked once more after its lie.
    """
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    options = StageOptions(shard_tasks=1, workers=4, resources={"cpus": 1, "memory": "100MB", "time": "5m"})
    tasks = [Number(id=f"n{value}", value=value) for value in (1, 2, 3, 4, 5, 6)]
    timing = Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=30.0, drain_s=20.0, ask_s=5.0)

    def run(wait: bool) -> hpcurate.Outcome:
        steps = {"long": Step(OneLong(until=str(there.folder / "again" / "calls")), options)}
        return hpcurate.run(steps, tasks, store=there.store, launcher="slurm", wait=wait, timing=timing)

    run(wait=False)
    while len(there.attempts()) < 5:
        time.sleep(0.1)
    said = verb(there, "status", PATH=lying(there.folder / "empty", "squeue", "exit 0"))
    assert ("is no longer listed by the scheduler" in said, overs(there)) == (True, []), said
    with running_slurm("--no-accounting") as other:
        said = verb(there, "status", **other.env)
        assert ("answers here" in said, overs(there)) == (True, []), said
        said = verb(there, "cancel", **other.env)
        assert ("answers here" in said, "scancel" in said, overs(there)) == (True, True, []), said
        assert "gates of cluster" in said, "ids mean other jobs there"
    monkeypatch.setenv("PATH", lying(there.folder / "again", "squeue", "exit 0"))
    assert RunState.COMPLETE is run(wait=True).state
    assert ["0001.ticket"] == tickets(there, "long")
    assert [] == list(there.store.glob("stages/*/shards/*/[!.]*/failed.jsonl"))
    assert len(there.claims()) <= len(tasks) + 1


@pytest.mark.parametrize("call", [1, 2])
def test_an_sbatch_whose_answer_was_lost_is_looked_for(there: Site, undisturbed: dict[str, str], call: int) -> None:
    """Of an array, or of a gate: it counted as refused, the round as over, and another array was submitted."""
    path = lying(there.folder / "lost", "sbatch", f'$real "$@" >/dev/null; {LOST}', call=call)
    elsewhere = Site(there.folder, env={**there.env, "PATH": path})
    done = elsewhere.drive("slurm")
    assert 0 == done.status, done.err
    assert "complete" == await_end(there)
    assert comparable(there) == undisturbed
    assert ["0001.ticket"] == tickets(there, "double")
    no_double_commit(there)


def test_a_gate_whose_sbatch_fails_once_tries_again(there: Site, undisturbed: dict[str, str]) -> None:
    """The third call is the first one in a gate; it ended the run."""
    lie = 'echo "sbatch: error: Batch job submission failed: No resources" >&2; exit 1'
    path = lying(there.folder / "once", "sbatch", lie, call=3)
    done = Site(there.folder, env={**there.env, "PATH": path}).drive("slurm")
    assert 0 == done.status, done.err
    assert "complete" == await_end(there)
    assert comparable(there) == undisturbed
    [printed] = [p.read_text() for p in there.store.glob("runs/2*/gates/*.out") if "trying again" in p.read_text()]
    assert "No resources" in printed


def test_a_job_that_is_recorded_after_the_cancel_is_cancelled(there: Site, slurm: SlurmSite) -> None:
    """The cancel came while sbatch ran: it said that nothing was running, and the array ran to its end."""
    lie = f'$real "$@"; touch {there.store}/runs/latest/cancelled'
    path = lying(there.folder / "late", "sbatch", lie)
    done = Site(there.folder, env={**there.env, "PATH": path}).drive("slurm", "--sleep", "1")
    assert "was cancelled while it was submitted" in done.err
    slurm.wait_idle(60)
    assert ("cancelled", {}) == (there.summary()["state"], there.attempts())
    assert 0 == there.drive("slurm", "--wait", "--sleep", "0.02").status


def test_a_local_call_waits_for_the_round_that_slurm_has(there: Site, undisturbed: dict[str, str]) -> None:
    """It waited for ever: only a call with launcher=slurm asked Slurm."""
    assert 0 == there.drive("slurm", "--sleep", "0.1").status
    finished = there.drive("local", "--sleep", "0.1")
    assert 0 == finished.status, finished.err
    assert comparable(there) == undisturbed
    assert ["0001.ticket"] == tickets(there, "double")
    no_double_commit(there)


class Refuses(PosixFilesystem):
    """Storage that is full when the jobs of the second round are to be written down."""

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        if path.endswith("0002.job"):
            raise OSError(28, "No space left on device", path)
        return super().create(path, data)


def test_jobs_that_cannot_be_written_down_are_taken_back(
    there: Site, slurm: SlurmSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would have known that they run."""
    there.drive("slurm", failpoints=f"ticket.after@{there.folder / 'died'}")
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    run = Run.at(os.path.realpath(there.store / "runs" / "latest"))
    driver = Driver(run, make_launcher(run.frozen().launcher), world=World(filesystem=Refuses()))
    with pytest.raises(OSError, match="No space left"):
        driver.step()
    slurm.wait_idle(60)
    assert 0 == there.drive("slurm", "--wait").status
    jobs = [json.loads(p.read_text())["jobs"] for p in sorted(there.store.glob("stages/double-*/rounds/*.job"))]
    assert ([], 3) == (jobs[0], len(jobs))


def test_an_sbatch_that_was_lost_on_its_way_is_repeated_once_that_is_sure(
    lost_on_its_way: tuple[Site, subprocess.Popen[str]],
) -> None:
    """Two answers some time apart that there is no job of its name; then the next round."""
    site, run = lost_on_its_way
    _, said = run.communicate(timeout=120)
    assert 0 == run.returncode, said
    assert "it is looked for by its name" in said
    assert ["0001.ticket", "0002.ticket"] == tickets(site, "double")
