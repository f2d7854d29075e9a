"""Looking only reads: what is found out is said in the views, and `reconcile` makes actions of it for a driver."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec
import pytest
from driven import Site
from engine_stages import Digits, Double, Number
from snapshot import Snapshot, difference, snapshot

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.beats import LONGEST_STEP_S
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, Launcher, NoQueue, Presence
from hpcurate.runs.live import Observer
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.reconcile import MakeLists, MarkOver, Phase, RecordJobs, RoundView, WriteIndex
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
    assert (RecordJobs("double", 1, Jobs()), MarkOver("double", 1, Jobs())) == actions
    assert unchanged()
    assert 0 == site.drive("local", "--count", "6").status
    assert [(Jobs(), True), True] == [(rounds.read()[0].jobs, rounds.read()[0].over), rounds.read()[1].over]


def test_a_round_whose_jobs_are_written_down_after_the_look_is_not_over(site: Site) -> None:
    """Its submitter had stood still, and was taken for dead by somebody who then stood still as well. Before, the round
    was marked as over while its workers began, and the next one was submitted.
    """
    site.drive("local", "--count", "6", failpoints=f"ticket.after@{site.folder / 'died'}")
    run = Run.at(os.path.realpath(site.store / "runs" / "latest"))
    driver, rounds = Driver(run, LocalLauncher()), part(run, "double").rounds
    assert MarkOver("double", 1, Jobs()) in driver.look().decision.actions
    rounds.record_jobs(1, Jobs(ids=("77",)))
    assert (False, False) == (driver.mark_over("double", 1, Jobs()), rounds.one(1).over)
    assert (True, True) == (driver.mark_over("double", 1, Jobs(ids=("77",))), rounds.one(1).over)


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
    of: str | None = None

    def cluster(self) -> str | None:
        """Its own."""
        return self.of

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


def put_round(run: Run, queue: str | None, jobs: Jobs | None, cluster: str = "") -> None:
    """Let the one round of `double` have that ticket and job file."""
    double = part(run, "double")
    for name in os.listdir(double.folder.rounds):
        os.unlink(os.path.join(double.folder.rounds, name))
    rounds = Rounds(World().filesystem, double.folder)
    rounds.take_ticket(1, Ticket(queue=queue, cluster=cluster, name="double-r1", submitter=OWNER))
    if jobs is not None:
        rounds.record_jobs(1, jobs)


def second_look(run: Run, owner: bool | None, scheduler: Scheduler, late: float, beats: str) -> RoundView:
    """The view of the round at the last look, so much later, and after these beats of the process with its ticket.

    Between are others, as of somebody who waits: of the time between two looks little counts.
    """
    clock, frozen, rounds = Later(), run.frozen(), part(run, "double").rounds
    world = World(processes=Known(owner), clock=clock)
    frozen = msgspec.structs.replace(frozen, retries={}, forgiven={})
    observer = Observer(world, run.store, frozen, scheduler, watched=lambda stage, number: True)
    beat = Path(part(run, "double").folder.rounds, "0001.beat")
    if beats != "none":
        rounds.beat(1, 1)
    observer.look()
    for _ in range(int(late / LONGEST_STEP_S) - 1):
        clock.late += LONGEST_STEP_S
        observer.look()
    clock.late = late
    if beats == "moves":
        rounds.beat(1, 2)
    if beats == "let go":
        rounds.let_go(1)
    view = observer.look()[0].rounds[-1]
    beat.unlink(missing_ok=True)
    return view


LEASE_S, ASK_S = 300.0, 30.0
LATER = [0.0, ASK_S, SUBMITTING_S, LEASE_S]


def expected_jobs_phase(scheduler: Scheduler, late: float) -> Phase:
    """The scheduler's own word is evidence at once; that it lists no job is none before it has said so twice."""
    absent = Phase.OVER if late >= ASK_S else Phase.VANISHED
    return {
        Presence.ALIVE: Phase.ACTIVE,
        Presence.ENDED: Phase.OVER,
        Presence.ABSENT: absent,
        Presence.UNKNOWN: Phase.UNKNOWN,
    }[scheduler.says]


def expected_children_phase(owner: bool | None, late: float, beats: str) -> Phase:
    """They die with the process that started them; one that cannot be seen may show that it lives, for one lease."""
    silent = late >= LEASE_S and beats in ("none", "still")
    if owner is False or (silent and (owner is None or beats == "still")):
        return Phase.OVER
    return Phase.ACTIVE if owner or beats in ("moves", "let go") else Phase.VANISHED


def expected_phase(
    queue: str | None, jobs: Jobs | None, owner: bool | None, scheduler: Scheduler, late: float, beats: str
) -> tuple[Phase, Jobs]:
    """In words of the design: unknown means wait; what was lost is searched by name; death needs evidence."""
    own = queue == scheduler.name
    if jobs is None:
        patience_s = SUBMITTING_S if queue else LEASE_S
        held = owner is not False and (beats == "moves" or (beats != "let go" and late < patience_s))
        if held:
            return Phase.SUBMITTING, Jobs()
        if queue is None:
            return Phase.OVER, Jobs()
        if not own or scheduler.finds is None:
            return Phase.UNKNOWN, Jobs()
        looked_for_s = late if owner is False else max(0.0, late - SUBMITTING_S)
        if scheduler.finds:
            return expected_jobs_phase(scheduler, looked_for_s), FOUND
        return (Phase.OVER if looked_for_s >= ASK_S else Phase.VANISHED), Jobs()
    if not jobs:
        return Phase.OVER, jobs
    if queue is None:
        return expected_children_phase(owner, late, beats), jobs
    return (expected_jobs_phase(scheduler, late) if own else Phase.UNKNOWN), jobs


@pytest.mark.parametrize("queue", ["slurm", "another", None])
@pytest.mark.parametrize("jobs", [None, Jobs(), RECORDED])
def test_every_last_round_is_seen_as_it_is(
    run: Run, unchanged: Callable[[], bool], queue: str | None, jobs: Jobs | None
) -> None:
    """Every queue × job file × owner × answer of the scheduler × sign of life × patience; and no look writes.

    A single answer that listed no job was the end of a round: of a live one, if it was a wrong answer.
    """
    put_round(run, queue, jobs)
    assert unchanged()
    three: list[bool | None] = [True, False, None]
    finds: list[tuple[str, ...] | None] = [None, (), ("7",)] if jobs is None and queue else [None]
    answers = list(Presence) if queue else [Presence.UNKNOWN]
    signs = ["none", "still", "moves", "let go"] if jobs is None or not queue else ["none"]
    for beats, owner, says, found, late in itertools.product(signs, three, answers, finds, LATER):
        scheduler = Scheduler(says, found)
        view = second_look(run, owner, scheduler, late, beats)
        case = f"{owner=} {scheduler=} {late=} {beats=}"
        assert expected_phase(queue, jobs, owner, scheduler, late, beats) == (view.phase, view.jobs), case
        recorded = jobs is not None or not (view.jobs or view.phase is Phase.OVER)
        assert (recorded, view.phase is not Phase.OVER) == (view.jobs_recorded, view.over_recorded), case
        assert (view.phase is Phase.ACTIVE) is view.watched, case
        assert (view.phase is Phase.UNKNOWN and queue == "another") is view.elsewhere, case
        if (beats, owner, says, found, late) == ("none", three[-1], answers[-1], finds[-1], LATER[-1]):
            assert unchanged()  # from here on it is this test that writes


def test_a_users_word_is_enough_to_go_on_but_no_evidence(run: Run) -> None:
    """What a user cancelled and nobody can ask about holds up nothing; its attempts are not over by that.

    What can be asked about is: a job that was cancelled takes a while to end.
    """
    put_round(run, "slurm", RECORDED)
    part(run, "double").rounds.mark_cancelled(1)
    view = second_look(run, None, Scheduler(Presence.UNKNOWN, None), 0.0, "none")
    assert (Phase.OVER, True, True) == (view.phase, view.over_recorded, view.cancelled)
    for says, phase in ((Presence.ALIVE, Phase.ACTIVE), (Presence.ABSENT, Phase.VANISHED)):
        assert phase is second_look(run, None, Scheduler(says, None), 0.0, "none").phase


@pytest.mark.parametrize(
    ("answers", "expected"),
    [("ours", Phase.OVER), ("theirs", Phase.UNKNOWN), (None, Phase.UNKNOWN)],
)
def test_the_word_of_another_cluster_is_no_evidence(
    run: Run, unchanged: Callable[[], bool], answers: str | None, expected: Phase
) -> None:
    """`status` with another SLURM_CONF declared a live round over: there, nobody had heard of its jobs."""
    put_round(run, "slurm", RECORDED, cluster="ours")
    assert unchanged()
    view = second_look(run, None, Scheduler(Presence.ABSENT, None, of=answers), ASK_S, "none")
    assert (expected, answers == "theirs") == (view.phase, view.elsewhere)
    assert unchanged()


class Forgetful(InlineLauncher):
    """Its scheduler lists no job."""

    queue = Scheduler(Presence.ABSENT, ())


@pytest.mark.parametrize("jobs", [None, RECORDED])
def test_a_single_look_takes_no_second_one(site: Site, jobs: Jobs | None) -> None:
    """A submitter that was killed, or an array that Slurm has forgotten, gate and all: `status` said running for ever.

    Each time it named itself as what to type. Whoever keeps looking, as `watch` does, waits for the second answer.
    """
    site.drive("local", "--count", "6", failpoints=f"ticket.after@{site.folder / 'died'}")
    run, launcher = Run.at(os.path.realpath(site.store / "runs" / "latest")), Forgetful()
    put_round(run, "slurm", jobs)
    seen = [RunLooker(run, launcher, World(processes=Known(False)), ask_every_s=s).look().decision for s in (0.0, 30.0)]
    assert [RunState.INCOMPLETE, RunState.RUNNING] == [decision.state for decision in seen]
    assert "a second such answer" in seen[0].reason == seen[1].reason


@pytest.mark.parametrize(("whose", "counts"), [("own", True), ("another-run", False), ("", True)])
def test_the_cancel_of_another_run_holds_up_nothing(run: Run, whose: str, counts: bool) -> None:
    """A round that two runs want may be stopped by one that did not see the other yet. Before, both counted as
    cancelled, one of which nobody had cancelled. A mark of an earlier release does not say whose it is.
    """
    put_round(run, "slurm", RECORDED)
    part(run, "double").rounds.mark_cancelled(1, run.name if whose == "own" else whose)
    (view, *_) = RunLooker(run, LocalLauncher()).observer.look()
    assert counts is view.rounds[-1].cancelled


def test_a_list_that_is_purged_under_a_call_that_stays_is_made_again(site: Site) -> None:
    """Before, it submitted round after round of workers that waited for the list for half an hour each."""
    site.drive("local", "--count", "6", failpoints=f"ticket.after@{site.folder / 'died'}")
    run = Run.at(os.path.realpath(site.store / "runs" / "latest"))
    driver, stage = Driver(run, LocalLauncher()), run.frozen().pipeline.stage("double")
    assert MakeLists("double") not in driver.look().decision.actions
    assert driver.observer.still_listed(stage)
    os.unlink(part(run, "double").folder.list_file("0001"))
    assert MakeLists("double") not in driver.look().decision.actions, "what was read is not read at each look"
    assert not driver.observer.still_listed(stage)
    assert MakeLists("double") in driver.look().decision.actions
