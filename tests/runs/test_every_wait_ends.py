"""Every wait ends: the same command gets on, whoever left a round behind, and wherever (I14)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest
from driven import HERE, Site, comparable, no_double_commit
from engine_stages import Double, Number
from one_worker import QuickClock

import hpcurate
from hpcurate.errors import LauncherError, StoreError
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.plan import Plan
from hpcurate.runs.beats import BEAT_S, LONGEST_STEP_S
from hpcurate.runs.cancel import _is_running
from hpcurate.runs.commits_seen import CONFIRM_S
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.gate import _report_failure, patiently, reporting
from hpcurate.runs.gate_files import GateFiles
from hpcurate.runs.launcher import NoQueue, Presence, Started, Submission
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.reconcile import Look
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import written_report
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.rounds import Jobs, Rounds, Ticket
from hpcurate.system.beats import Beating
from hpcurate.system.clock import SystemClock
from hpcurate.system.processes import ProcessIdentity
from hpcurate.world import World
from launchers.inline import InlineLauncher
from launchers.local import LocalLauncher

SMALL = StageOptions(shard_tasks=2, resources={"memory": "100MB"})
STRANGER = ProcessIdentity("another host", 7, 1)


def numbers() -> list[Number]:
    """Four tasks, two shards."""
    return [Number(id=f"n{i}", value=i) for i in range(1, 5)]


# -- a notebook, whose process lives on after Ctrl-C -------------------------------------------------


class Interrupted(Double):
    """Ctrl-C arrives while it works, once."""

    version = 1
    times = 0

    def process(self, tasks: list[Number]) -> list[Number]:
        """See `Double`."""
        if not Interrupted.times:
            Interrupted.times = 1
            raise KeyboardInterrupt
        return super().process(tasks)


def test_ctrl_c_in_a_notebook_and_the_same_cell_again(tmp_path: Path) -> None:
    """The ticket's owner, the notebook, lived on, and had no job: the second call waited for itself for ever."""
    stages = {"double": Step(Interrupted(), SMALL)}
    with pytest.raises(KeyboardInterrupt):
        hpcurate.run(stages, numbers(), store=tmp_path / "s", launcher="inline")
    assert hpcurate.run(stages, numbers(), store=tmp_path / "s", launcher="inline").state is RunState.COMPLETE


@attrs.define
class Breaks(LocalLauncher):
    """Something happens to this process while it starts workers, once."""

    how = LauncherError

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`."""
        super().submit(submission)
        if submission.plan.round == 1:
            raise self.how("while the workers were started")
        return Started(Jobs(workers=tuple(worker.identity for worker in self.children._running)))


@attrs.define
class BreaksByCtrlC(Breaks):
    """A person stops it."""

    how = KeyboardInterrupt


@attrs.define
class BreaksByOSError(Breaks):
    """No more processes, or no more room."""

    how = OSError


@pytest.mark.parametrize(("cls", "error"), [(BreaksByCtrlC, KeyboardInterrupt), (BreaksByOSError, OSError)])
def test_what_happens_between_ticket_and_job_leaves_no_worker_and_no_open_round(
    tmp_path: Path, cls: type, error: type[BaseException]
) -> None:
    """Only a refusal was thought of: the round stayed open, and this very process counted as its living owner."""
    stages = {"double": Step(Double(), SMALL)}
    launcher = {"_target_": f"{cls.__module__}.{cls.__name__}"}
    before = psutil.Process().children(recursive=True)  # who types for other tests is none of its
    with pytest.raises(error, match="while the workers"):
        hpcurate.run(stages, numbers(), store=tmp_path / "s", launcher=launcher)
    [over] = (tmp_path / "s").glob("stages/double-*/rounds/*.over")
    assert "0001.over" == over.name
    left = [p for p in psutil.Process().children(recursive=True) if p not in before]
    assert [] == [p for p in left if p.status() != psutil.STATUS_ZOMBIE]
    assert hpcurate.run(stages, numbers(), store=tmp_path / "s", launcher=launcher).state is RunState.COMPLETE


@attrs.define
class Full(LocalLauncher):
    """No more workers may be submitted here."""

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`."""
        raise LauncherError("the site lets you queue 0 jobs")


def test_room_is_waited_for_before_the_ticket_is_taken(tmp_path: Path) -> None:
    """Others saw a ticket for up to an hour, and neither its job nor whether its owner lived."""
    launcher = {"_target_": f"{Full.__module__}.Full"}
    with pytest.raises(LauncherError, match="queue 0 jobs"):
        hpcurate.run({"double": Step(Double(), SMALL)}, numbers(), store=tmp_path / "s", launcher=launcher)
    assert [] == list((tmp_path / "s").glob("stages/*/rounds/*"))


# -- processes that cannot be seen ---------------------------------------------------------------------


def test_a_driver_in_another_pid_namespace_that_died(site: Site, undisturbed: dict[str, str]) -> None:
    """A container, or the host before a reboot: nothing is known of the process, and the wait had no end.

    One lease (10 s here) without a sign of its life, and the work goes on.
    """
    command = ["unshare", "-pf", "--mount-proc", sys.executable, str(HERE / "drive.py"), str(site.store), "local"]
    command += ["--output", str(site.output), "--sleep", "0.05"]
    if subprocess.run([*command[:3], "true"], check=False, capture_output=True).returncode:
        pytest.skip("pid namespaces cannot be made here")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=site.folder)
    while not site.claims():
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGKILL)
    process.wait()
    finished = site.drive("local", "--sleep", "0.05")
    assert (0, True) == (finished.status, "that cannot be seen from here" in finished.err), finished.err
    assert comparable(site) == undisturbed
    no_double_commit(site)


# -- rounds and tickets of others, put there by hand ---------------------------------------------------


@pytest.fixture
def run(site: Site) -> Run:
    """A run whose driver died with its first ticket."""
    site.drive("local", "--count", "6", failpoints=f"ticket.after@{site.folder / 'died'}")
    return Run.at(os.path.realpath(site.store / "runs" / "latest"))


@pytest.fixture
def rounds(run: Run) -> Rounds:
    """Those of its first stage, none of them taken."""
    stage = World().stage(run.store, run.frozen().pipeline.stages[0].folder)
    for name in os.listdir(stage.folder.rounds):
        os.unlink(os.path.join(stage.folder.rounds, name))
    return stage.rounds


def test_a_ticket_is_waited_for_as_long_as_its_owner_shows_a_sign_of_life(run: Run, rounds: Rounds) -> None:
    """On another host, where its process cannot be seen: it was taken for lost after a minute, alive or not."""
    rounds.take_ticket(1, Ticket(name="n", submitter=STRANGER))
    clock = Hurrying()
    sign = Beating(clock, lambda count: rounds.beat(1, count), BEAT_S)
    sign.start()
    driver = Driver(run, InlineLauncher(), world=World(clock=clock))
    look = driver.step(settle_s=400)
    assert (RunState.INCOMPLETE, True) == (look.decision.state, "is being submitted; type" in look.decision.reason)
    sign.stop()
    rounds.let_go(1)
    assert RunState.COMPLETE is driver.step(settle_s=400).decision.state


class Soon(threading.Event):
    """Waits a hundredth of the time."""

    def wait(self, timeout: float | None = None) -> bool:
        """See `Event`."""
        return super().wait((timeout or 0) / 100)


class Hurrying(SystemClock):
    """A clock that runs a hundred times as fast while its owner sleeps, and lets threads run."""

    ahead = 0.0

    def event(self) -> Soon:
        """See `Clock`."""
        return Soon()

    def monotonic(self) -> float:
        """See `Clock`."""
        return super().monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        super().sleep(max(0.02, seconds / 100))
        self.ahead += seconds


class Hides(PosixFilesystem):
    """Shared storage whose listings of rounds are of a time before there was one; counts tries for tickets."""

    tries = 0

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        return [] if folder.endswith("/rounds") else super().names(folder)

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        Hides.tries += path.endswith(".ticket")
        return super().create(path, data)


def test_a_ticket_that_a_stale_listing_hides_is_tried_for_once(run: Run, rounds: Rounds) -> None:
    """11 438 tickets in 8 s, because the listing was believed over the exclusive create."""
    rounds.take_ticket(1, Ticket(name="n", submitter=World().processes.mine()))
    sign = Beating(SystemClock(), lambda count: rounds.beat(1, count), BEAT_S)
    sign.start()
    look = Driver(run, InlineLauncher(), world=World(filesystem=Hides())).step(settle_s=2)
    sign.stop()
    assert (1, RunState.INCOMPLETE) == (Hides.tries, look.decision.state)


class Fails(PosixFilesystem):
    """Shared storage that is full, or away, for so many attempts to take a ticket; `error` is its number."""

    def __init__(self, error: int, times: int) -> None:
        self.error, self.left = error, times

    def create(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        if path.endswith(".ticket") and self.left:
            self.left -= 1
            raise OSError(self.error, os.strerror(self.error), path)
        return super().create(path, data)


def test_a_driver_waits_for_a_store_that_fails(run: Run) -> None:
    """One full disk ended the call that stayed, with a traceback, while its workers waited for room. It says so once."""
    said: list[str] = []
    storage = Fails(errno.ENOSPC, 3)
    driver = Driver(run, InlineLauncher(), stays=True, echo=said.append, world=World(filesystem=storage))
    assert (RunState.COMPLETE, 0) == (driver.drive().decision.state, storage.left)
    [line] = [line for line in said if line.startswith("the store fails")]
    assert f"{run.store.root}: No space left on device, " in line
    assert line.endswith("then type the run's command again")


def test_a_driver_does_not_wait_for_a_store_for_ever(run: Run) -> None:
    """It ended with a traceback: now the run is stalled, with the reason. Nor for an error that is none of a store's."""
    world = World(filesystem=Fails(errno.ENOSPC, 10**6), clock=QuickClock())
    driver = Driver(run, InlineLauncher(), stays=True, world=world)
    assert RunState.STALLED is driver.drive().decision.state
    report = written_report(run)
    assert report is not None
    assert (RunState.STALLED, True) == (report.state, f"{run.store.root}: No space left on device" in report.reason)
    storage = Fails(errno.EINVAL, 2)
    with pytest.raises(OSError, match="Invalid argument"):
        Driver(run, InlineLauncher(), stays=True, world=World(filesystem=storage)).drive()
    assert 1 == storage.left


def test_a_round_of_slurm_that_nobody_here_can_ask_about(
    site: Site, run: Run, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local call waited for it for ever. It says what to type, and after a cancel the same command goes on.

    That a user cancelled it is no evidence that its workers are gone: nothing says that it is over.
    """
    monkeypatch.setenv("PATH", "/nowhere")
    rounds.take_ticket(1, Ticket(launcher="slurm", queue="slurm", name="double-r1", submitter=STRANGER))
    rounds.record_jobs(1, Jobs(("12",)))
    refused = site.drive("local", "--count", "6")
    assert (1, "incomplete") == (refused.status, refused.summary["state"])
    assert "round 1 was submitted to slurm, which does not answer here; type" in refused.summary["reason"]
    words = [sys.executable, "-m", "hpcurate", "cancel", "--store", str(site.store)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "`scancel 12`" in said
    assert "nothing was queued" not in said
    finished = site.drive("local", "--count", "6")
    assert 0 == finished.status, finished.err
    assert [(True, False), (False, True)] == [(found.cancelled, found.over) for found in rounds.read()]


def test_cancel_does_not_say_that_nothing_runs_where_that_is_not_known(site: Site, run: Run, rounds: Rounds) -> None:
    """A ticket without its job may have one the next moment: whoever writes it down stops it."""
    rounds.take_ticket(1, Ticket(name="n", submitter=STRANGER))
    words = [sys.executable, "-m", "hpcurate", "cancel", "--store", str(site.store)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "double: round 1 " in said
    assert "nothing was queued" not in said
    assert [True] == [found.cancelled for found in rounds.read()]
    assert 0 == site.drive("local", "--count", "6").status


def test_a_cancel_stops_what_an_earlier_one_could_not(site: Site, run: Run, rounds: Rounds) -> None:
    """Typed where another cluster answered, then the command there, then `cancel` at home, as the first one had said.

    Only the last round was looked at: the array at home ran to its end. And of a complete run it said how to go on.
    """
    rounds.take_ticket(1, Ticket(queue="slurm", cluster="home", name="double-r1", run=run.name, submitter=STRANGER))
    rounds.record_jobs(1, Jobs(("12",)))
    rounds.mark_cancelled(1)
    assert 0 == site.drive("local", "--count", "6").status
    told, clients = site.folder / "told", site.folder / "clients"
    clients.mkdir()
    answers = {"scontrol": "ClusterName = home", "squeue": "12_0|RUNNING", "scancel": ""}
    for name, answer in answers.items():
        (clients / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{told}\necho "{answer}"\n')
        (clients / name).chmod(0o755)
    words = [sys.executable, "-m", "hpcurate", "cancel", "--store", str(site.store)]
    environment = {**os.environ, "PATH": f"{clients}:{os.environ['PATH']}"}
    said = subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout
    assert "double: round 1, which was cancelled before, is being stopped (12)" in said
    assert ["scancel 12"] == [line for line in told.read_text().splitlines() if line.startswith("scancel")]
    assert ("complete before it was cancelled" in said, "to continue" in said) == (True, False)


@attrs.define
class Says(NoQueue):
    """A scheduler that says this of all jobs."""

    presence_of_all: Presence

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        return self.presence_of_all


def test_a_run_whose_gate_is_queued_is_served_whatever_was_seen_of_it_last(run: Run) -> None:
    """Its command was typed where another cluster answers: a cancel of another run then stopped the shared array."""
    _report_failure(Driver(run, InlineLauncher()), "is on cluster home, and another answers here")
    alive, ended = Says(Presence.ALIVE), Says(Presence.ENDED)
    assert not _is_running(run, alive)
    GateFiles(run.filesystem, run).record("double", 1, "13")
    assert [True, False] == [_is_running(run, queue) for queue in (alive, ended)]


@attrs.define
class Stops(NoQueue):
    """A scheduler that does nothing but stop jobs."""

    stopped: list[Jobs] = attrs.field(factory=list)
    name = "slurm"

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        self.stopped.append(jobs)


class Submits(InlineLauncher):
    """One that has such a scheduler."""

    queue: Any = Stops()


def test_jobs_of_a_submission_that_was_taken_for_lost_are_stopped(run: Run, rounds: Rounds) -> None:
    """A submitter that stood still for ten minutes submitted then; others had written down that there was no job.

    Its own were never written down: no cancel would have found them. Found by the simulation.
    """
    launcher, queue = Submits(), Submits.queue
    rounds.take_ticket(1, Ticket(queue="slurm", cluster="c", name="n", submitter=STRANGER))
    rounds.record_jobs(1, Jobs())
    submitter = Driver(run, launcher)._submitter
    assert (False, [Jobs(("12",))]) == (submitter.record("double", 1, Jobs(("12",))), queue.stopped)
    rounds.take_ticket(2, Ticket(queue="slurm", cluster="c", name="m", submitter=STRANGER))
    assert (True, 1) == (submitter.record("double", 2, Jobs(("13",))), len(queue.stopped))


# -- gates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "ends"), [(0, True), (1, True), (4, True), (99, False)])
@pytest.mark.parametrize(
    "error", [LauncherError("sbatch refused"), OSError(5, "away"), StoreError("a shard cannot be read")]
)
def test_a_gate_tries_again_within_its_patience(failures: int, ends: bool, error: Exception) -> None:
    """One failed sbatch in a gate ended the run, and so did a shard that its host found missing a moment before it was
    committed, without a word in the summary: nobody else moves it on.
    """
    tries: list[float] = []
    clock = QuickClock()

    def move() -> Look:
        tries.append(clock.slept)
        if len(tries) <= failures:
            raise error
        return Look((), None)  # type: ignore[arg-type]

    with contextlib.nullcontext() if ends else pytest.raises(type(error)):
        patiently(move, clock, 300)
    assert (failures + 1 if ends else 8) == len(tries)
    assert clock.slept < 300


def test_a_shard_that_could_not_be_read_is_read_at_the_next_look(run: Run) -> None:
    """However often a gate tried again, it saw what its first look had seen.

    For a minute it may be that this host has looked for it before it was there; then it is damaged.
    """
    Driver(run, InlineLauncher()).step()
    for index in Path(run.store.stages).glob("double-*/done/*.json"):
        index.unlink()
    clock = QuickClock()
    again = Driver(run, InlineLauncher(), world=World(clock=clock))
    stats = next(Path(run.store.stages).glob("double-*/shards/*/[!.]*/stats.json"))
    stats.rename(f"{stats}.hidden")
    for _ in range(int(CONFIRM_S / LONGEST_STEP_S)):
        assert RunState.RUNNING is again.look().decision.state
        clock.sleep(LONGEST_STEP_S)
    with pytest.raises(StoreError, match="cannot be read"):
        again.look()
    Path(f"{stats}.hidden").rename(stats)
    assert RunState.COMPLETE is again.look().decision.state


def test_a_gate_of_a_run_that_was_removed_leaves(tmp_path: Path) -> None:
    """It tried for a quarter of an hour, in a node's slot, to look at a store that somebody had deleted."""
    tries: list[str] = []

    def move() -> Look:
        tries.append("")
        raise FileNotFoundError(2, "No such file or directory", "store/runs/x")

    with pytest.raises(FileNotFoundError):
        patiently(move, QuickClock(), 300, lambda: (tmp_path / "x").is_dir())
    assert 1 == len(tries)


def test_a_gate_of_a_store_that_is_not_there_leaves_soon() -> None:
    """Nobody can tell a store that was removed from one that is not mounted: the gate held its node for both."""
    clock = QuickClock()

    def move() -> Look:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), "store")

    with pytest.raises(OSError, match="store"):
        patiently(move, clock, 900)
    assert 0 < clock.slept < 60


def test_a_gate_that_a_failing_store_stopped_leaves_a_stalled_run(run: Run) -> None:
    """It was `incomplete`, as if sbatch had refused; now with the path and what is wrong, also when it is looked at."""

    def move() -> Look:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), run.store.root)

    assert 1 == reporting(Driver(run, InlineLauncher()), move)
    reason = f"{run.store.root}: Read-only file system; have it mounted for writing again, then type the run's command"
    looked = RunLooker(run, InlineLauncher()).look().decision
    assert (RunState.STALLED, f"{reason} again") == (looked.state, looked.reason)


def test_what_a_gate_could_not_do_is_still_said_later(run: Run, rounds: Rounds) -> None:
    """`status` replaced its reason by "nothing is queued or alive"; it stands until something moves."""
    reason = "what comes next could not be submitted: sbatch refused"
    _report_failure(Driver(run, InlineLauncher()), reason)
    looker = RunLooker(run, InlineLauncher())
    for _ in range(2):
        look = looker.look()
        assert (RunState.INCOMPLETE, reason) == (look.decision.state, look.decision.reason)
    Driver(run, InlineLauncher()).step()
    report = written_report(run)
    assert report is not None
    assert (RunState.COMPLETE, "") == (report.state, report.reason)
