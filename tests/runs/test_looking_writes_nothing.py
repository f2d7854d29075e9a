"""Looking only reads: what is found out is said in the views, and `reconcile` makes actions of it for a driver."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from driven import Site
from engine_stages import Digits, Double, Number
from snapshot import Snapshot, difference, snapshot

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Frozen, Run
from hpcurate.runs.launcher import JobRow, Launcher, NoQueue, Presence
from hpcurate.runs.live import Observer
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.reconcile import MarkOver, Phase, RecordJobs, RoundView, Submit, WriteIndex
from hpcurate.runs.rounds_seen import SUBMITTING_S
from hpcurate.runs.state import RunState
from hpcurate.store.rounds import Jobs, Rounds, Ticket
from hpcurate.store.stage_store import StageStore
from hpcurate.system.clock import SystemClock
from hpcurate.system.processes import ProcessIdentity, SystemProcesses
from hpcurate.world import World
from launchers.inline import InlineLauncher
from launchers.local import LocalLauncher

LAUNCHERS = [InlineLauncher, LocalLauncher]
SMALL = StageOptions(shard_tasks=3, resources={"memory": "100MB"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A complete run of two stages, made once in this process."""
    numbers = [Number(id=f"n{i}", value=i) for i in range(1, 8)]
    stages = {"double": Step(Double(), SMALL), "digits": Step(Digits(), SMALL)}
    store = tmp_path_factory.mktemp("looking") / "store"
    outcome = hpcurate.run(stages, numbers, store=store, launcher="inline")
    assert outcome.state is RunState.COMPLETE
    return outcome.run


@pytest.fixture
def run(made: Run, site: Site) -> Run:
    """The same in a store of this test's own."""
    shutil.copytree(made.store.root, site.store, symlinks=True)
    return Run.at(str(site.store / "runs" / made.name))


@pytest.fixture
def unchanged(site: Site) -> Callable[[], bool]:
    """Whether the store is, file by file and folder by folder, what it was when this was first asked."""
    first: list[Snapshot] = []

    def unchanged() -> bool:
        first.append(snapshot(site.store))
        return difference(first[0], first[-1]) == {}

    return unchanged


def part(run: Run, stage: str) -> StageStore:
    """The part of a stage in the store."""
    return World().stage(run.store, run.frozen().pipeline.stage(stage).folder)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_looking_at_a_complete_run(run: Run, unchanged: Callable[[], bool], launcher: Callable[[], Launcher]) -> None:
    """Nothing to do, nothing to write."""
    assert unchanged()
    seen = RunLooker(run, launcher()).look()
    assert (RunState.COMPLETE, ()) == (seen.decision.state, seen.decision.actions)
    assert unchanged()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_looking_where_every_index_is_missing(
    run: Run, site: Site, unchanged: Callable[[], bool], launcher: Callable[[], Launcher]
) -> None:
    """A cache that a look does not make; whoever drives does, with the same content."""
    removed = {path: path.read_bytes() for path in site.store.glob("stages/*/done/*.json")}
    for path in removed:
        path.unlink()
    assert (3, True) == (len(removed), unchanged())
    looker = RunLooker(run, launcher())
    for _ in range(2):  # the second look is from memory, and says the same
        seen = looker.look()
        expected = {WriteIndex(path.parts[-3], path.stem) for path in removed}
        assert (RunState.COMPLETE, expected) == (seen.decision.state, set(seen.decision.actions))
        assert len(seen.decision.actions) == len(expected)
    assert unchanged()
    assert () == Driver(run, InlineLauncher()).step().decision.actions
    assert removed == {path: path.read_bytes() for path in removed}


@pytest.mark.parametrize("content", [b"", b"{", b'{"shards": []}', b'{"stamp": 1, "shards": []}'])
def test_looking_where_an_index_is_damaged(run: Run, unchanged: Callable[[], bool], content: bytes) -> None:
    """As if it were missing."""
    double = part(run, "double")
    Path(double.folder.index("0001-000")).write_bytes(content)
    assert unchanged()
    actions = RunLooker(run, InlineLauncher()).look().decision.actions
    assert ((WriteIndex(os.path.basename(double.folder.path), "0001-000"),), True) == (actions, unchanged())


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_looking_where_the_submitter_died_before_its_job(
    site: Site, unchanged: Callable[[], bool], launcher: Callable[[], Launcher]
) -> None:
    """The round counts as over, but only a driver writes that down; then the run continues."""
    marker = site.folder / "died"
    site.drive("local", "--count", "6", failpoints=f"ticket.after@{marker}")
    run = Run.at(os.path.realpath(site.store / "runs" / "latest"))
    rounds = part(run, "double").rounds
    assert (True, [(None, False)]) == (marker.exists(), [(found.jobs, found.over) for found in rounds.read()])
    assert unchanged()
    looker = RunLooker(run, launcher())
    seen = looker.look()
    assert (RunState.INCOMPLETE, Phase.OVER) == (seen.decision.state, seen.views[0].rounds[0].phase)
    assert [Phase.OVER] == [view.phase for view in looker.observer.look()[0].rounds]
    assert unchanged()
    actions = Driver(run, launcher()).look().decision.actions
    assert (RecordJobs("double", 1, Jobs()), MarkOver("double", 1), Submit("double", 2, 2)) == actions
    assert unchanged()
    assert 0 == site.drive("local", "--count", "6").status
    assert [(Jobs(), True), True] == [(rounds.read()[0].jobs, rounds.read()[0].over), rounds.read()[1].over]


# -- the last round, in the light of queue and processes ---------------------------------------------


OWNER = ProcessIdentity("submitting host", 7, 1)
FOUND, RECORDED = Jobs(("7",)), Jobs(("12",))


@attrs.define
class Known(SystemProcesses):
    """A machine on which this is known of the submitter."""

    lives: bool | None

    def alive(self, process: ProcessIdentity) -> bool | None:
        """The same of all."""
        return self.lives


@attrs.define
class Scheduler(NoQueue):
    """One that says this of all jobs."""

    says: Presence
    finds: tuple[str, ...] | None
    name: str = "slurm"

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """Asked only about jobs there are."""
        assert jobs
        return self.says

    def find(self, name: str) -> tuple[str, ...] | None:
        """By the unique name of the submission."""
        assert name == "double-r1"
        return self.finds

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """Nobody asks here."""
        raise AssertionError("a look asks no rows")


class Later(SystemClock):
    """A clock that can be put forward."""

    late = 0.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return super().monotonic() + self.late


def put_round(run: Run, queue: str | None, jobs: Jobs | None) -> None:
    """Let the one round of `double` have that ticket and job file."""
    double = part(run, "double")
    for name in os.listdir(double.folder.rounds):
        os.unlink(os.path.join(double.folder.rounds, name))
    rounds = Rounds(World().filesystem, double.folder)
    rounds.take_ticket(1, Ticket(queue=queue, name="double-r1", submitter=OWNER))
    if jobs is not None:
        rounds.record_jobs(1, jobs)


def second_look(run: Run, frozen: Frozen, owner: bool | None, scheduler: Scheduler, late: float) -> RoundView:
    """The view of the round at the second look, so much later."""
    clock = Later()
    world = World(processes=Known(owner), clock=clock)
    lists = frozen.source_lists
    observer = Observer(world, run.store, frozen.pipeline, lists, scheduler, watched=lambda stage, number: True)
    observer.look()
    clock.late = late
    return observer.look()[0].rounds[-1]


def expected_phase(
    queue: str | None, jobs: Jobs | None, owner: bool | None, scheduler: Scheduler, late: float
) -> tuple[Phase, Jobs]:
    """In words of the design: unknown means wait; what was lost is searched by name; children die with their parent."""
    of_owner = {True: Phase.ACTIVE, False: Phase.OVER, None: Phase.UNKNOWN}
    of_jobs = {
        Presence.ALIVE: Phase.ACTIVE,
        Presence.ENDED: Phase.OVER,
        Presence.ABSENT: Phase.OVER,
        Presence.UNKNOWN: Phase.UNKNOWN,
    }
    if jobs is None:
        if owner or (owner is None and late < SUBMITTING_S):
            return Phase.SUBMITTING, Jobs()
        if queue is None:
            return Phase.OVER, Jobs()
        if queue != scheduler.name or scheduler.finds is None:
            return Phase.SUBMITTING, Jobs()
        return (of_jobs[scheduler.says], FOUND) if scheduler.finds else (Phase.OVER, Jobs())
    if not jobs:
        return Phase.OVER, jobs
    if queue is None:
        return of_owner[owner], jobs
    return (of_jobs[scheduler.says] if queue == scheduler.name else Phase.UNKNOWN), jobs


@pytest.mark.parametrize("queue", ["slurm", "another", None])
@pytest.mark.parametrize("jobs", [None, Jobs(), RECORDED])
def test_every_last_round_is_seen_as_it_is(
    run: Run, unchanged: Callable[[], bool], queue: str | None, jobs: Jobs | None
) -> None:
    """Every queue × job file × owner × answer of the scheduler × patience; and no look writes."""
    put_round(run, queue, jobs)
    assert unchanged()
    three: list[bool | None] = [True, False, None]
    finds: list[tuple[str, ...] | None] = [None, (), ("7",)]
    for owner, says, found, late in itertools.product(three, Presence, finds, [0.0, SUBMITTING_S]):
        scheduler = Scheduler(says, found)
        view = second_look(run, run.frozen(), owner, scheduler, late)
        case = f"{owner=} {scheduler=} {late=}"
        assert expected_phase(queue, jobs, owner, scheduler, late) == (view.phase, view.jobs), case
        assert (jobs is not None or view.phase is Phase.SUBMITTING) is view.jobs_recorded, case
        assert (view.phase is not Phase.OVER) is view.over_recorded, case
        assert (view.phase is Phase.ACTIVE) is view.watched, case
    assert unchanged()
