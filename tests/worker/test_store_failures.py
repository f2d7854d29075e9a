"""The engine's own reading and writing fails for a while: nobody is blamed, nothing is lost, and a worker leaves at last.

Before, the first error of a listing, a claim or a marker ended the worker with a traceback, and three commits in a row
that failed did, too, after each had counted against its shard.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_worker import Bench, QuickClock, bench
from unit_stages import Fated, numbers

from hpcurate.failures import Ending, FailureKind
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.system.allocation import Allocation
from hpcurate.system.patience import LONGEST_PAUSE_S, PATIENCE_S, Patience
from hpcurate.worker.hosts import Log, SetupFailed, ShardEnded, StageHost
from hpcurate.worker.hosts.inprocess import InProcessHosts
from hpcurate.worker.node_staging import Place
from hpcurate.world import World

OPERATIONS = (
    "names", "read", "create", "claim", "write_new", "replace", "make_folders", "sizes", "seal", "rename", "beat", "discard",
)  # fmt: skip


class Failing(PosixFilesystem):
    """Real storage of which some operations fail while `fails` says so, before they did anything or after."""

    def __init__(self, fails: Callable[[str], bool], *, after: bool = False, number: int = errno.ENOSPC) -> None:
        self._fails, self._after, self._number = fails, after, number
        self.failures = 0

    def __getattribute__(self, name: str):  # type: ignore[no-untyped-def]
        real = super().__getattribute__(name)
        if name not in OPERATIONS:
            return real

        def operation(path: str, *more: object, **named: object) -> object:
            fails = self._fails(name)
            found = real(path, *more, **named) if self._after or not fails else None
            if fails:
                self.failures += 1
                raise OSError(self._number, os.strerror(self._number), path)
            return found

        return operation


def first(count: int, *names: str) -> Callable[[str], bool]:
    """The first `count` calls of these operations."""
    left = [count]

    def fails(name: str) -> bool:
        if name not in names or not left[0]:
            return False
        left[0] -= 1
        return True

    return fails


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    """Three shards of two tasks."""
    return bench(tmp_path, Fated(["keep"]), numbers(*range(6)), 2)


def endings(one: Bench) -> set[str]:
    """Of all attempts, by their markers."""
    claims = Path(one.store.folder.path, "claims")
    return {path.suffix[1:] for path in claims.glob("*/*") if not path.suffix[1:].isdigit()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "replace"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_store_that_fails_for_a_moment_costs_time_only(one: Bench, operation: str, number: int, after: bool) -> None:
    """Whatever fails, with the effect or without: every task passes, in whole rows, and nothing counts against it."""
    failing = Failing(first(4, operation), after=after, number=number)
    assert 0 == one.worker(World(filesystem=failing, clock=QuickClock())).run(), one.lines
    assert [f"n{n}" for n in range(6)] == [row["id"] for row in one.rows("tasks")]
    assert endings(one) <= {"store"}
    assert [] == [name for name in os.listdir(one.store.folder.shards("0001-000")) if name.startswith(".")]


@pytest.mark.parametrize(
    "number", [errno.EDQUOT, errno.EACCES, errno.EKEYEXPIRED, errno.ENODEV], ids=errno.errorcode.get
)
def test_no_failure_of_a_store_counts(one: Bench, number: int) -> None:
    """A quota or a ticket that ran out is no bug of anybody's stage."""
    failing = Failing(first(4, "create", "rename"), number=number)
    assert 0 == one.worker(World(filesystem=failing, clock=QuickClock())).run(), one.lines
    assert [f"n{n}" for n in range(6)] == [row["id"] for row in one.rows("tasks")]


def test_a_finished_attempt_waits_for_its_commit(one: Bench) -> None:
    """The work is done: only the rename is tried again, and the attempt is the first and only one."""
    failing = Failing(first(5, "rename"))
    clock = QuickClock()
    assert 0 == one.worker(World(filesystem=failing, clock=clock)).run()
    assert {1} == {one.store.commits.stats(f"0001-00000{n}").attempt for n in range(3)}
    assert (set(), 5) == (endings(one), failing.failures)
    assert clock.slept > 20


def test_what_is_committed_lists_its_files_once(one: Bench) -> None:
    """A second try of a commit finds the first one's `stats.json`, which is no file of the stage."""
    one.worker(World(filesystem=Failing(first(1, "seal")), clock=QuickClock())).run()
    assert {"tasks.jsonl"} == {
        name for name in one.store.commits.stats("0001-000000").files if not name.startswith("files/")
    }


def test_a_finished_attempt_waits_until_its_allocation_ends(one: Bench) -> None:
    """It was handed back after half an hour, with most of the job's time left."""
    hours = 3600

    class Ends(QuickClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.slept >= hours:
                worker.drain(at_once=True)

    clock, tries = Ends(), Failing(lambda name: name == "rename")
    job = Allocation(job_id="1", end_time=int(clock.now().timestamp()) + hours)
    worker = one.worker(World(filesystem=tries, clock=clock), allocation=job)
    assert 1 == worker.run()
    assert hours <= clock.slept < hours + LONGEST_PAUSE_S
    assert hours / LONGEST_PAUSE_S <= tries.failures < hours / LONGEST_PAUSE_S + 10
    assert {"store"} == endings(one)


class Once(InProcessHosts):
    """Hosts of which the first thing that is asked for fails, as it does where files are on a store that fails."""

    def __init__(self, what: str) -> None:
        self.what = what

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> StageHost:
        """See `Hosts`."""
        host = super().host(plan, info, place, log)
        if self.what == "setup":
            host.start = self._fails(host.start)  # type: ignore[method-assign]
        else:
            host.run = self._fails(host.run)  # type: ignore[method-assign]
        return host

    def _fails(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def once(*given: Any) -> Any:
            self.what, what = "", self.what
            if what:
                raise SetupFailed("OSError: stale") if what == "setup" else ShardEnded(Ending.CRASH, "SIGBUS", ("n0",))
            return real(*given)

        return once


@pytest.mark.parametrize("what", ["setup", "crash"])
@pytest.mark.parametrize("fails", [True, False])
def test_what_a_failing_store_causes_is_not_blamed(one: Bench, what: str, fails: bool) -> None:
    """Code and weights that cannot be read end a setup, a file that is mapped ends a process: the stage was blamed."""
    failing = Failing(first(2 * fails, "replace"), number=errno.ESTALE)  # the worker's own record, then a test write
    worker = one.worker(World(filesystem=failing, clock=QuickClock()), hosts=Once(what))
    assert int(what == "setup" and not fails) == worker.run()
    blamed = {"crash"} if what == "crash" and not fails else set()
    assert blamed == endings(one) - {"store", "task"}
    if what == "setup" and not fails:
        assert FailureKind.SETUP is one.failure().kind
    else:
        assert 6 == len(one.rows("tasks"))


def test_a_drained_worker_hands_a_finished_attempt_back(one: Bench) -> None:
    """It does not wait for its commit any longer, and says why it has none."""

    class Drains(QuickClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            worker.drain(at_once=True)

    worker = one.worker(World(filesystem=Failing(lambda name: name == "rename"), clock=Drains()))
    assert 1 == worker.run()
    assert {"store"} == endings(one)
    assert FailureKind.STORE is one.failure().kind


@pytest.mark.parametrize("operation", ["names", "claim", "seal", "rename"])
def test_a_worker_leaves_a_store_that_stays_away(one: Bench, operation: str) -> None:
    """After a bounded time, with path, reason and number; nothing was counted against any shard (I14)."""
    clock = QuickClock()
    failing = Failing(lambda name: name == operation, number=errno.EROFS)
    assert 1 == one.worker(World(filesystem=failing, clock=clock)).run()
    assert PATIENCE_S <= clock.slept <= PATIENCE_S + LONGEST_PAUSE_S
    assert failing.failures < 200
    last = one.lines[-1]
    said = f"{one.plan.store}: Read-only file system; have it mounted for writing again, then type the run's command"
    assert said in last
    assert "(waited for it for 30 min)" in last
    assert endings(one) <= {"store"}


def test_why_a_worker_left_is_what_a_stalled_stage_shows(one: Bench) -> None:
    """In the place where the reason of a setup that failed is."""
    one.worker(World(filesystem=Failing(lambda name: name == "rename"), clock=QuickClock())).run()
    failure = one.failure()
    assert ("store", True) == (failure.kind.value, "No space left on device" in failure.message)


def test_a_marker_that_could_not_be_written_is_written_later(one: Bench) -> None:
    """Without it nobody takes the shard up while its worker lives."""
    fails = first(3, "seal", "create")
    calls: list[str] = []

    def only_after_the_first_claim(name: str) -> bool:
        calls.append(name)
        return "seal" in calls and fails(name)

    worker = one.worker(World(filesystem=Failing(only_after_the_first_claim), clock=QuickClock()))
    assert 0 == worker.run()
    assert 6 == len(one.rows("tasks"))


def test_a_claim_whose_answer_was_lost_is_ours(one: Bench) -> None:
    """The store failed after the claim was made: nobody else would have worked on it while we live."""
    claimed = Failing(first(1, "create"), after=True)
    assert 0 == one.worker(World(filesystem=claimed, clock=QuickClock())).run()
    assert {1} == {one.store.commits.stats(f"0001-00000{n}").attempt for n in range(3)}


def test_a_list_that_is_not_seen_yet_is_waited_for(one: Bench) -> None:
    """The plan names it, so it is there: a stale directory read as `0 shards`."""

    class Stale(PosixFilesystem):
        looks = 0

        def names(self, folder: str) -> list[str]:
            self.looks += folder == one.store.folder.lists
            return [] if folder == one.store.folder.lists and self.looks < 4 else super().names(folder)

    assert 0 == one.worker(World(filesystem=Stale(), clock=QuickClock())).run()
    assert 6 == len(one.rows("tasks"))


def test_a_log_on_a_full_disk_ends_no_worker(one: Bench) -> None:
    """It lies in the store, too."""

    def full(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert 0 == one.worker(log=full).run()
    assert 6 == len(one.rows("tasks"))


# -- patience ---------------------------------------------------------------------------------------


@given(st.integers(1, 200))
def test_pauses_grow_and_end(failures: int) -> None:
    """From a second to half a minute, and never more than the bound together."""
    clock = QuickClock()
    patience = Patience(clock, lambda: False)
    tried = [patience.pause("no") for _ in range(failures)]
    assert clock.slept <= max(PATIENCE_S, failures * LONGEST_PAUSE_S)
    assert tried == sorted(tried, reverse=True)
    assert patience.over is (not tried[-1])


def test_a_commit_shows_that_the_store_works() -> None:
    """Pauses begin again with a second."""
    clock = QuickClock()
    patience = Patience(clock, lambda: False)
    for _ in range(5):
        patience.pause("no")
    before = clock.slept
    patience.worked()
    patience.pause("no")
    assert (31, 1) == (round(before), round(clock.slept - before))


def test_a_worker_that_is_to_leave_does_not_pause() -> None:
    """Its time is short."""
    clock = QuickClock()
    assert (False, 0.0) == (Patience(clock, lambda: True).pause("no"), clock.slept)


def test_store_counts_against_nothing() -> None:
    """Whatever the number of attempts."""
    from hpcurate.failures import AttemptEnd
    from hpcurate.verdict import Verdict, judge

    assert Verdict() == judge([AttemptEnd(attempt=n, ending=Ending.STORE) for n in range(99)], 1)
