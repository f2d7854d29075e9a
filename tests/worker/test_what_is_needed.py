"""What an attempt had is written down, and a worker takes only what its round is meant for, and what it has time for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from one_worker import Bench, bench
from unit_stages import Fated, Number, numbers

from hpcurate import Stage
from hpcurate.failures import AttemptEnd, Ending, JobEnd
from hpcurate.store.claims import Claim, Latest
from hpcurate.store.evidence import Evidence
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import shard_id
from hpcurate.system.allocation import Allocation
from hpcurate.system.processes import SystemProcesses, resident_mb
from hpcurate.verdict import Allowance, Limits
from hpcurate.worker.hosts.spawned import ProcessHosts
from hpcurate.world import World

ORDINARY, MORE = Allowance(memory_mb=400, seconds=600), Allowance(memory_mb=800, seconds=600)
LONGER = Allowance(memory_mb=400, seconds=1200)
MOST = Allowance(memory_mb=1600, seconds=1200)
FIRST, SECOND = shard_id("0001", 0), shard_id("0001", 1)


def round_of(one: Bench, here: Allowance, number: int = 2) -> Bench:
    """The same in a round that has so much."""
    limits = Limits(ordinary=ORDINARY, most=MOST, here=here)
    return attrs.evolve(one, plan=msgspec.structs.replace(one.plan, limits=limits, round=number))


def ended(one: Bench, shard: str, *ends: AttemptEnd) -> None:
    """Attempts of a shard that ended so."""
    claims, history = one.store.claims, ()
    for number, end in enumerate(ends, 1):
        mine = SystemProcesses().mine()
        claim = Claim(
            shard=shard, attempt=number, nonce="n", worker="w", process=mine, history=history, memory_mb=end.memory_mb
        )
        claims.take(claim)
        claims.end(claim, end.ending, end.detail, end.in_flight, peak_mb=end.peak_mb, seconds=end.seconds)
        history = (*history, msgspec.structs.replace(end, attempt=number))


def oom(*in_flight: str, memory_mb: int = 400) -> AttemptEnd:
    """For want of memory."""
    return AttemptEnd(attempt=0, ending=Ending.OOM, in_flight=in_flight, memory_mb=memory_mb, peak_mb=memory_mb)


def cut_off(seconds: float) -> AttemptEnd:
    """For want of time."""
    return AttemptEnd(attempt=0, ending=Ending.WALLTIME, in_flight=("n0",), seconds=seconds)


def done(one: Bench) -> set[str]:
    """Shards that are committed."""
    return one.store.commits.names(line.id for line in one.store.lists.read("0001") or [])


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """Two shards of two tasks."""
    return bench(tmp_path, Fated(["keep"]), numbers(*range(4)), 2)


TWICE = (oom("n0", "n1"), oom("n0"))
CASES: list[tuple[str, tuple[AttemptEnd, ...], Allowance, set[str]]] = [
    ("once, among others", (oom("n0", "n1"),), ORDINARY, {FIRST, SECOND}),
    ("alone, here", TWICE, ORDINARY, {SECOND}),
    ("alone, where there is more", TWICE, MORE, {FIRST}),
    ("where there is more time", TWICE, LONGER, set()),
    ("in vain, where there is not enough", (*TWICE, oom("n0", memory_mb=800)), MORE, set()),
    ("cut off early", (cut_off(200),), ORDINARY, {FIRST, SECOND}),
    ("cut off late", (cut_off(500),), ORDINARY, {SECOND}),
    ("cut off late, where there is more", (cut_off(500),), LONGER, {FIRST}),
    ("cut off twice by the most", (cut_off(1100), cut_off(1100)), LONGER, set()),
    ("crashed, where there is more", (AttemptEnd(attempt=0, ending=Ending.CRASH),), MORE, set()),
]


@pytest.mark.parametrize(("history", "here", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_worker_takes_what_its_round_is_for(
    one: Bench, history: tuple[AttemptEnd, ...], here: Allowance, expected: set[str]
) -> None:
    """Before, one that needs twice the memory was tried in the same again and again. Else the worker leaves."""
    ended(one, FIRST, *history)
    assert 0 == round_of(one, here).worker().run()
    assert expected == done(one)


def test_a_claim_and_a_marker_say_what_there_was(one: Bench) -> None:
    """An observer that has nothing but the claim can complete what the scheduler says."""
    ended(one, FIRST, *TWICE)
    round_of(one, MORE).worker().run()
    claim = one.store.claims.read(FIRST, 3)
    assert claim is not None
    assert ([400, 400], 800, 0.0) == ([end.memory_mb for end in claim.history], claim.memory_mb, claim.seconds)


@pytest.mark.parametrize(
    ("said", "memory_mb", "seconds"),
    [
        (JobEnd(ending=Ending.WALLTIME), 400, 275.0),
        (JobEnd(ending=Ending.OOM), 400, 0.0),
        (JobEnd(ending=Ending.OOM, memory_mb=838, peak_mb=816), 838, 0.0),
        (JobEnd(ending=Ending.FREE), 400, 0.0),
    ],
)
def test_what_the_scheduler_says_is_completed_from_the_claim(
    one: Bench, said: JobEnd, memory_mb: int, seconds: float
) -> None:
    """Where the worker could not write how its attempt ended, nor how long that had lasted: it may have stood still, so
    the next worker is to have as much time as this one had, and not more.
    """
    claim = Claim(
        shard=FIRST, attempt=1, nonce="n", worker="w", process=SystemProcesses().mine(), round=1, element="7_0",
        memory_mb=400, seconds=550.0,
    )  # fmt: skip
    one.store.claims.take(claim)
    one.store.rounds.mark_over(1, endings={"7_0": said})
    evidence = Evidence(one.store)
    evidence.over = one.store.rounds.over()
    (end,) = evidence.history(FIRST, Latest(1, Ending.LOST))
    assert (said.ending, memory_mb, seconds) == (end.ending, end.memory_mb, end.seconds)
    path = Path(one.store.folder.claim(FIRST, 1))
    path.write_bytes(path.read_bytes().replace(b'"ahead": false', b'"ahead": true'))
    (ahead,) = evidence.history(FIRST, Latest(1, Ending.LOST))
    assert ahead.seconds == 0.0  # it may never have begun


class Counting(PosixFilesystem):
    """Counts the markers that are read."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        if path.endswith(".oom"):
            self.reads[path] += 1
        return super().read(path)


def test_a_history_is_read_once_by_each_worker(one: Bench) -> None:
    """However often it lists, and whatever it leaves to others (I12)."""
    ended(one, FIRST, *TWICE)
    counting = Counting()
    assert 0 == round_of(one, ORDINARY).worker(World(filesystem=counting)).run()
    assert {1} == set(counting.reads.values())
    assert {SECOND} == done(one)


# -- in the middle of the work ----------------------------------------------------------------------


class Sleeps(Stage[Number, Number]):
    """Does not come to an end."""

    version = 1

    def __init__(self, begun: str) -> None:
        self.begun = begun

    def process(self, tasks: list[Number]) -> list[Number]:
        """Longer than anybody waits."""
        Path(self.begun).touch()
        time.sleep(60)
        return tasks


class Full(ProcessHosts):
    """Of a job whose memory is nearly all in use."""

    def used_mb(self) -> int:
        """See `Hosts`."""
        return 396


class Light(ProcessHosts):
    """Of a job that uses little, whatever the process that runs the tests does."""

    def used_mb(self) -> int:
        """See `Hosts`."""
        return 100


def leaves(folder: Path, left_s: float, **more: Any) -> dict[str, AttemptEnd]:
    """The endings of a worker that is told to leave in the middle of a shard."""
    begun, over = folder / "begun", threading.Event()
    one = round_of(bench(folder, Sleeps(str(begun)), numbers(*range(2)), 1), ORDINARY)
    here = Allocation(job_id="7", end_time=int(time.time() + left_s))
    worker = one.worker(allocation=here, **{"hosts": ProcessHosts(), **more})

    def tell() -> None:
        while not begun.exists() and not over.wait(0.01):
            pass
        worker.drain(at_once=True)

    told = threading.Thread(target=tell)
    told.start()
    status = worker.run()
    over.set()
    told.join()
    assert 0 == status
    claims = one.store.claims
    endings = {shard: claims.ending(shard, latest) for shard, latest in claims.latest("0001-000").items()}
    for shard, end in endings.items():
        claim = claims.read(shard, end.attempt)
        assert claim is not None
        assert end.seconds == (round(claim.seconds, 3) if end.ending is Ending.WALLTIME else 0.0)
    return endings


@pytest.mark.parametrize(
    ("left_s", "hosts", "ending", "peak_mb"),
    [
        (25.0, ProcessHosts, Ending.WALLTIME, 0),
        (500.0, Light, Ending.FREE, 0),
        (500.0, Full, Ending.OOM, 396),
    ],
)
def test_what_is_in_work_when_a_worker_has_to_leave(
    tmp_path: Path, left_s: float, hosts: type[ProcessHosts], ending: Ending, peak_mb: int
) -> None:
    """All of these were `free` before: a task that fills the memory took every job along, and a shard that is too long
    for its jobs was begun for ever. Then the time counted that was used: a job is told long before its end, and in less
    than half of its time nothing led to a round with more.
    """
    (end,) = leaves(tmp_path, left_s, hosts=hosts()).values()
    assert (ending, ("n0",), 400, peak_mb) == (end.ending, end.in_flight, end.memory_mb, end.peak_mb)
    assert (ending is Ending.WALLTIME) is bool(end.seconds)


def test_what_a_process_has_in_use() -> None:
    """More than nothing, and of one that has left nothing."""
    mine = SystemProcesses().mine().pid
    assert 2 * resident_mb([mine]) - 2 <= resident_mb([mine, mine]) > 10
    assert 0 == resident_mb([2**22 + 1])
