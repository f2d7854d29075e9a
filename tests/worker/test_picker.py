"""Picking: which shard next, and what happens to those that others left."""

from __future__ import annotations

import errno
import multiprocessing
import os
import tempfile
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from together import together

from hpcurate.failures import AttemptEnd, Ending, JobEnd
from hpcurate.store.claims import Claim
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.system.processes import ProcessIdentity
from hpcurate.verdict import judge
from hpcurate.worker import picker as picking
from hpcurate.worker.deadline import PREDICTION_MARGIN, Room
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.worker.picker import Picker, Who, order_of_trial, owners
from hpcurate.world import World

FILES = PosixFilesystem()
HEAVIEST = "0001-000009"


def lines_of(*weights: float) -> list[ShardLine]:
    """Shard lines of these weights."""
    return [ShardLine(shard_id("0001", n), weight, 1, ()) for n, weight in enumerate(weights)]


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage with ten shards, the last the heaviest."""
    stage = StageFolder(str(tmp_path))
    store_of(stage).lists.write("0001", lines_of(*range(1, 11)))
    return stage


def store_of(folder: StageFolder, filesystem: PosixFilesystem = FILES) -> StageStore:
    """The stage's store over this filesystem."""
    return StageStore(filesystem, folder, f"{folder.path}-trash")


def picker(
    folder: StageFolder, index: int = 0, workers: int = 1, filesystem: PosixFilesystem = FILES, **more: Any
) -> Picker:
    """Worker `index`'s picker over the ten shards."""
    world = World(filesystem=filesystem)
    heartbeat = Heartbeat(world, folder, f"job-{index}-r0-{os.urandom(4).hex()}", 30)
    who = Who(index=index, workers=workers, round=more.pop("round", 2), memory_mb=more.pop("memory_mb", 0))
    lines = more.pop("lines", None) or lines_of(*range(1, 11))
    settings, store = {"listing_s": 0.0, "lease_s": 300.0, **more}, store_of(folder, filesystem)
    return Picker(world, store, lines, heartbeat, who, **settings)


def all_of(picking: Picker) -> list[str]:
    """Claim until nothing is left."""
    picks = iter(picking.next, None)
    return [pick.line.id for pick in picks]  # type: ignore[union-attr]


def again(picking: Picker) -> Claim:
    """The claim of the heaviest shard, which was tried before and therefore comes after all others."""
    picks = [pick.claim for pick in iter(picking.next, None)]  # type: ignore[union-attr]
    assert [HEAVIEST] == [claim.shard for claim in picks if claim.attempt > 1] == [picks[-1].shard]
    return picks[-1]


# -- order ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(0, 40), st.integers(1, 12))
def test_every_worker_would_try_every_shard_once(weights: list[float], index: int, workers: int) -> None:
    """For every index and number of workers, also more workers than shards."""
    lines = lines_of(*weights)
    assert sorted(line.id for line in lines) == sorted(line.id for line in order_of_trial(lines, index, workers))


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 8))
def test_the_workers_shares_cover_the_list_exactly(weights: list[float], workers: int) -> None:
    """No shard is in two shares: nobody collides at the start."""
    lines = lines_of(*weights)
    heavy = order_of_trial(lines, 0, 1)
    for index in range(workers):
        share = [trial for trial, owner in zip(heavy, owners(heavy, workers), strict=True) if owner == index]
        assert share == order_of_trial(lines, index, workers)[: len(share)]


@given(st.integers(1, 400), st.integers(1, 20), st.lists(st.floats(4, 7.9), min_size=20, max_size=20))
def test_shares_of_what_weighs_about_the_same_are_neighbours(count: int, workers: int, weights: list[float]) -> None:
    """As many for each, but for one; from one shard to the last of the share nothing is another's."""
    heavy = order_of_trial(lines_of(*(weights[n % 20] for n in range(count))), 0, 1)
    places: list[list[int]] = [[] for _ in range(workers)]
    for trial, owner in zip(heavy, owners(heavy, workers), strict=True):
        places[owner].append(trial.place)
    assert max(map(len, places)) - min(map(len, places)) <= 1
    assert all(max(own) - min(own) == len(own) - 1 for own in places if own)


def test_each_worker_begins_with_a_heavy_one() -> None:
    """Of few heavy shards and many light ones each worker has a heavy one first, whoever it is."""
    lines = lines_of(*[1.0] * 40, *[100.0, 30.0, 10.0, 3.0])
    assert {100.0, 30.0, 10.0, 3.0} == {order_of_trial(lines, index, 4)[0].weight for index in range(4)}


def test_the_heaviest_come_first() -> None:
    """In each share, so that no straggler begins at the end."""
    assert [8, 6, 5, 9, 7] == [line.weight for line in order_of_trial(lines_of(5, 6, 7, 8, 9), 0, 2)]


# -- claiming ---------------------------------------------------------------------------------------


def test_one_worker_claims_every_shard_heaviest_first(folder: StageFolder) -> None:
    """And then nothing is left."""
    assert [shard_id("0001", n) for n in range(9, -1, -1)] == all_of(picker(folder))


def _pick_all(number: int, folder: StageFolder, finished: Any) -> list[str]:
    found = all_of(picker(folder, number, 4))
    finished.wait()  # a process that has left would count as dead
    return found


def test_workers_never_share_a_shard(folder: StageFolder) -> None:
    """Four processes at once: every shard once, none twice."""
    finished = multiprocessing.get_context("fork").Barrier(4)
    picked = Counter(shard for found in together(_pick_all, folder, finished, processes=4) for shard in found)
    assert {shard_id("0001", n): 1 for n in range(10)} == dict(picked)


def test_a_committed_shard_is_not_picked(folder: StageFolder) -> None:
    """Whoever did it."""
    os.mkdir(folder.shard("0001-000009"))
    assert "0001-000009" not in all_of(picker(folder))


def test_a_shard_that_does_not_fit_in_the_time_left_stays(folder: StageFolder) -> None:
    """A lighter one is taken instead."""
    pick = picker(folder).next(Room(left=3 * PREDICTION_MARGIN, seconds_per_weight=1.1))
    assert "0001-000001" == pick.line.id  # type: ignore[union-attr]


def test_claiming_does_not_list_again_and_again(folder: StageFolder) -> None:
    """One look at commits and claims serves many picks (I12)."""
    listed: list[str] = []

    class Counting(PosixFilesystem):
        def names(self, folder: str) -> list[str]:
            listed.append(folder)
            return super().names(folder)

    picking = picker(folder, filesystem=Counting(), listing_s=30.0)
    for _ in range(10):
        picking.next()
    assert [folder.shards("0001-000"), folder.claims("0001-000"), folder.rounds] == listed


def test_what_others_have_claimed_meanwhile_is_hardly_tried(folder: StageFolder) -> None:
    """Each of their shards cost a create in vain; a claim that is lost shows that it is time to look again (I12)."""
    tried: list[str] = []

    class Counting(PosixFilesystem):
        def claim(self, path: str, data: bytes) -> bool:
            tried.append(path)
            return super().claim(path, data)

    lines = lines_of(*[1.0] * 100)
    first = picker(folder, 0, 2, Counting(), lines=lines, listing_s=1000.0)
    assert first.next()
    others = picker(folder, 1, 2, lines=lines, listing_s=1000.0)
    assert 99 == len(all_of(others))
    assert (None, 2) == (first.next(), len(tried))


def _claims_of_each(workers: int, shards: int) -> list[Counter[str]]:
    """Kinds of folders → how often each worker listed them until nothing was left; all pick in turns. Fans of 10."""
    listed: list[Counter[str]] = [Counter() for _ in range(workers)]

    class Counting(PosixFilesystem):
        def __init__(self, number: int) -> None:
            self.number = number

        def names(self, folder: str) -> list[str]:
            listed[self.number][folder.split(os.sep)[-2]] += 1
            return super().names(folder)

    with tempfile.TemporaryDirectory() as path:
        stage = StageFolder(path)
        lines = store_of(stage).lists.write("0001", [ShardLine(f"0001-{n}000", 1.0, 1, ()) for n in range(shards)])
        pickers = [
            picker(stage, n, workers, Counting(n), lines=lines, listing_s=30.0, lease_s=300.0) for n in range(workers)
        ]
        picks = []
        while found := [pick for one in pickers if (pick := one.next())]:
            picks += [pick.line.id for pick in found]
        assert sorted(line.id for line in lines) == sorted(picks)
    return listed


def test_listings_grow_with_the_shards_of_a_worker_and_not_with_all_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these shards is in a fan-out folder of its own. Each worker listed all of them, at each look (I12)."""
    monkeypatch.setattr(picking, "LEAST_FANS", 4)
    few, many = (max(one["claims"] for one in _claims_of_each(workers, 4 * workers)) for workers in (3, 9))
    assert many <= few + picking.WINDOW_FANS


def test_what_has_a_history_waits_for_the_last_folder(tmp_path: Path) -> None:
    """Wherever it is: then a task that kills its worker takes no healthy one along."""
    stage = StageFolder(str(tmp_path))
    lines = store_of(stage).lists.write("0001", [ShardLine(f"0001-{n}000", 9.0 - n, 1, ()) for n in range(8)])
    store_of(stage).claims.end(foreign(stage, lines[0].id), Ending.FREE)
    assert [*(line.id for line in lines[1:]), lines[0].id] == all_of(picker(stage, lines=lines))


# -- what others left -------------------------------------------------------------------------------


def _claim_and_die(folder: StageFolder) -> None:
    picker(folder).next()
    os._exit(9)


def test_a_dead_processs_claim_becomes_attempt_two(folder: StageFolder) -> None:
    """On the same host it is seen at once, and the history has it: whose it was, and since when."""
    process = multiprocessing.get_context("fork").Process(target=_claim_and_die, args=(folder,))
    process.start()
    process.join()
    claim = again(picker(folder))
    (end,) = claim.history
    assert (2, 1, Ending.DEAD, "job-0-r0-") == (claim.attempt, end.attempt, end.ending, end.worker[:9])
    assert 0 < end.begun <= claim.at


def test_a_living_processs_claim_is_not_touched(folder: StageFolder) -> None:
    """Ours is alive, so a second picker finds nine."""
    picker(folder, 1).next()
    assert 9 == len(all_of(picker(folder)))


def test_a_shard_handed_back_does_not_count_against_it(folder: StageFolder) -> None:
    """FREE stands in the history, and is judged as nothing."""
    first = picker(folder).next()
    store_of(folder).claims.end(first.claim, Ending.FREE, "drained")  # type: ignore[union-attr]
    claim = again(picker(folder))
    assert (2, Ending.FREE, judge([], 1)) == (claim.attempt, claim.history[0].ending, judge(claim.history, 1))


def test_the_history_grows_with_each_attempt(folder: StageFolder) -> None:
    """Attempt n+1 knows all that happened before."""
    first = picker(folder).next()
    store_of(folder).claims.end(first.claim, Ending.CRASH)  # type: ignore[union-attr]
    for line in lines_of(*range(1, 10)):
        os.mkdir(folder.shard(line.id))
    for ending in (Ending.FREE, Ending.OOM):
        store_of(folder).claims.end(again(picker(folder)), ending)
    claim = again(picker(folder))
    assert (4, ["crash", "free", "oom"]) == (claim.attempt, [end.ending.value for end in claim.history])


def foreign(folder: StageFolder, shard: str = HEAVIEST, **more: Any) -> Claim:
    """A shard is claimed on another host, where only a heartbeat can tell."""
    there = ProcessIdentity("another host", 1, 1)
    settings: dict[str, Any] = {"attempt": 1, "nonce": "n", "worker": "job-7-r0-aabb", "process": there, **more}
    claim = Claim(shard=shard, **settings)
    store_of(folder).claims.take(claim)
    FILES.make_folders(os.path.dirname(folder.worker(claim.worker)))
    FILES.beat(folder.worker(claim.worker), b"000000000001\n")
    return claim


def mark_over(folder: StageFolder, number: int, **endings: Ending) -> None:
    """Somebody writes down that no worker of the round is left, and what is known of these elements."""
    FILES.make_folders(folder.rounds)
    store_of(folder).rounds.mark_over(
        number, endings={name[1:]: JobEnd(ending=ending) for name, ending in endings.items()}
    )


def test_a_worker_elsewhere_is_given_its_lease(folder: StageFolder) -> None:
    """Not knowing is no reason to take its shard."""
    foreign(folder)
    assert "0001-000009" not in all_of(picker(folder))


def test_a_worker_elsewhere_that_stands_still_loses_its_shard(folder: StageFolder) -> None:
    """After one lease of our own clock; that says nothing about the shard."""
    worker = foreign(folder).worker
    claim = again(picker(folder, lease_s=0.0))
    lost = AttemptEnd(attempt=1, ending=Ending.LOST, worker=worker)
    assert ((lost,), judge([], 1)) == (claim.history, judge(claim.history, 1))


def test_a_worker_elsewhere_that_beats_keeps_its_shard(folder: StageFolder) -> None:
    """Every change of the counter begins the lease again."""
    claim, picking = foreign(folder), picker(folder, lease_s=0.0)
    found = []
    for count in range(9):
        FILES.beat(folder.worker(claim.worker), b"%012d\n" % (count + 2))
        found.append(picking.next().line.id)  # type: ignore[union-attr]
    assert "0001-000009" not in found


def test_only_the_counter_of_a_heartbeat_counts(folder: StageFolder) -> None:
    """What follows it is for people, whoever writes it: a worker that stands still loses its shard."""
    claim, picking = foreign(folder), picker(folder, lease_s=0.0)
    found = []
    for count in range(10):
        FILES.beat(folder.worker(claim.worker), b"000000000001\n{}%d\n" % count)
        found.append(picking.next().line.id)  # type: ignore[union-attr]
    assert "0001-000009" in found


def test_a_counter_that_cannot_be_read_is_not_one_that_stands_still(folder: StageFolder) -> None:
    """Two failed reads a lease apart were the same empty counter twice, and the shard was taken from its worker."""

    class Failing(PosixFilesystem):
        def read(self, path: str) -> bytes:
            """No counter can be read; everything else can."""
            if os.sep + "workers" + os.sep in path:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
            return super().read(path)

    foreign(folder)
    assert "0001-000009" not in all_of(picker(folder, lease_s=0.0, filesystem=Failing()))


def test_a_worker_whose_round_is_over_loses_its_shard_at_once(folder: StageFolder) -> None:
    """Somebody learned from the scheduler that no worker of that round is left, on whatever host."""
    claim = foreign(folder)
    mark_over(folder, claim.round)
    assert (AttemptEnd(attempt=1, ending=Ending.LOST, worker=claim.worker),) == again(picker(folder)).history


def test_a_claim_that_cannot_be_read_is_given_a_lease_too(folder: StageFolder) -> None:
    """Where there are no hard links, a worker may die in the middle of writing it."""
    Path(folder.claim(HEAVIEST, 1)).write_bytes(b"")
    assert (AttemptEnd(attempt=1, ending=Ending.LOST),) == again(picker(folder, lease_s=0.0)).history


# -- who may declare another dead -------------------------------------------------------------------


def test_a_round_that_is_declared_over_ends_no_process_that_is_seen_alive(folder: StageFolder) -> None:
    """The idle workers of one round claimed attempts 2 to 6 of a task of 20 s, because a call had written `.over`."""
    first = picker(folder, 1, round=1).next()
    mark_over(folder, 1)
    assert first.line.id not in all_of(picker(folder))  # type: ignore[union-attr]


def test_a_worker_whose_round_is_over_claims_nothing_more(folder: StageFolder) -> None:
    """It went on, beside the workers of the next round."""
    picking = picker(folder, round=2)
    assert picking.next()
    mark_over(folder, 2)
    assert picking.next() is None


def test_what_is_declared_dead_without_evidence_never_counts(folder: StageFolder) -> None:
    """The sixth attempt wrote dead letters, and the run was complete with exit status 0."""
    mark_over(folder, 0)
    foreign(folder)
    for attempt in range(2, 12):
        claim = again(picker(folder))
        assert (attempt, judge([], 5)) == (claim.attempt, judge(claim.history, 5))
        Path(folder.claim(HEAVIEST, attempt)).unlink()
        for line in lines_of(*range(1, 10)):
            Path(folder.claim(line.id, 1)).unlink(missing_ok=True)
        foreign(folder, attempt=attempt, history=claim.history)


def test_what_the_scheduler_says_of_a_job_is_evidence(folder: StageFolder) -> None:
    """An attempt that left nothing but its note: killed for memory, with one task in work."""
    foreign(folder, element="12_3")
    Path(folder.note(HEAVIEST, 1)).write_bytes(b'{"task": "a"}\n{"task": "b"}\n{"task')
    mark_over(folder, 0, _12_3=Ending.OOM)
    detail = "the scheduler says that job 12_3 ran out of memory"
    (ending,) = again(picker(folder)).history
    assert (Ending.OOM, ("b",), detail) == (ending.ending, ending.in_flight, ending.detail)


def test_the_schedulers_word_may_come_after_the_next_attempt_has_begun(folder: StageFolder) -> None:
    """A lease runs out within the round; what the scheduler knows is written down at its end."""
    lost = AttemptEnd(attempt=1, ending=Ending.LOST)
    foreign(folder, element="12_3")
    foreign(folder, element="12_4", attempt=2, history=(lost,))
    mark_over(folder, 0, _12_3=Ending.OOM)
    assert [Ending.OOM, Ending.LOST] == [end.ending for end in again(picker(folder)).history]


def test_who_died_with_one_task_alone_waits_for_the_schedulers_word(folder: StageFolder) -> None:
    """Four workers on one machine died of the same task within a round, and it was a dead letter before anybody could
    say that it had needed more memory.
    """
    gone = msgspec.structs.replace(World().processes.mine(), start=1)
    lost = AttemptEnd(attempt=1, ending=Ending.LOST)
    foreign(folder)
    foreign(folder, attempt=2, history=(lost,), process=gone, element="12_3", round=2)
    Path(folder.note(HEAVIEST, 2)).write_bytes(b'{"task": "a"}\n')
    assert HEAVIEST not in all_of(picker(folder))
    mark_over(folder, 2, _12_3=Ending.OOM)
    assert Ending.OOM is picker(folder, round=3).next().claim.history[1].ending  # type: ignore[union-attr]


def test_shards_that_something_counts_against_come_last(folder: StageFolder) -> None:
    """Then a task that kills its worker takes no healthy one along: those without a history, the lost ones, the rest."""
    light, lost, crashed, handed_back, killed = (shard_id("0001", n) for n in (0, 9, 8, 7, 6))
    for shard in (lost, crashed, handed_back):
        foreign(folder, shard)
    foreign(folder, killed, element="12_3")
    mark_over(folder, 0, _12_3=Ending.OOM)
    Path(f"{folder.claim(crashed, 1)}.crash").write_bytes(b"")
    Path(f"{folder.claim(handed_back, 1)}.free").write_bytes(b"")
    assert [light, lost, handed_back, crashed, killed] == all_of(picker(folder))[5:]


def test_a_crash_is_not_forgotten_because_the_shard_was_handed_back_since(folder: StageFolder) -> None:
    """Both markers are in the listing."""
    for attempt, ending in ((1, "crash"), (2, "free")):
        foreign(folder, attempt=attempt)
        Path(f"{folder.claim(HEAVIEST, attempt)}.{ending}").write_bytes(b"")
    foreign(folder, "0001-000000")
    Path(f"{folder.claim('0001-000000', 1)}.free").write_bytes(b"")
    assert ["0001-000000", HEAVIEST] == all_of(picker(folder))[-2:]


# -- stale listings ---------------------------------------------------------------------------------


class Stale(PosixFilesystem):
    """Lists folders as they were when this client first looked at them, and counts what it tries."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}
        self.created: list[str] = []

    def names(self, folder: str) -> list[str]:
        """As first seen."""
        return self.seen.setdefault(folder, super().names(folder))

    def claim(self, path: str, data: bytes) -> bool:
        """See `Filesystem`."""
        self.created.append(os.path.basename(path))
        return super().claim(path, data)


def test_claims_that_a_listing_hides_are_each_tried_once(folder: StageFolder) -> None:
    """Each look at the same stale listing tried to take all of them again."""
    stale = Stale()
    picking = picker(folder, 1, filesystem=stale)
    stale.names(folder.claims("0001-000"))
    assert 10 == len(all_of(picker(folder)))
    assert [None] * 20 == [picking.next() for _ in range(20)]
    assert 10 == len(stale.created)


def test_an_attempt_that_a_listing_hides_is_not_begun(folder: StageFolder) -> None:
    """It shows that attempt 1 has crashed, and hides that attempt 2 is in work and 3 is not there."""
    stale, claim = Stale(), foreign(folder)
    store_of(folder).claims.end(claim, Ending.CRASH)
    stale.names(folder.claims("0001-000"))
    foreign(folder, attempt=2)
    assert HEAVIEST not in all_of(picker(folder, filesystem=stale))
    assert not os.path.exists(folder.claim(HEAVIEST, 3))


def test_a_commit_that_a_listing_hides_is_not_done_again(folder: StageFolder) -> None:
    """Its worker has left since, so that it looks like a claim of the dead."""
    stale = Stale()
    stale.names(folder.shards("0001-000"))
    mark_over(folder, foreign(folder).round)
    os.makedirs(folder.shard(HEAVIEST))
    Path(folder.shard(HEAVIEST), "stats.json").write_text("{}")
    assert HEAVIEST not in all_of(picker(folder, filesystem=stale))


def test_a_listing_that_is_fresh_again_shows_what_was_handed_back(folder: StageFolder) -> None:
    """What was learned from a lost create does not outlive the attempt."""
    stale = Stale()
    stale.names(folder.claims("0001-000"))
    claim = foreign(folder)
    picking = picker(folder, filesystem=stale)
    assert HEAVIEST not in all_of(picking)
    store_of(folder).claims.end(claim, Ending.FREE)
    stale.seen.clear()
    assert [HEAVIEST] == all_of(picking)


# -- our own heartbeat ------------------------------------------------------------------------------


def test_a_heartbeat_counts(folder: StageFolder) -> None:
    """The counter changes while the worker lives."""
    heartbeat = Heartbeat(World(), folder, "job-0-r0-aabb", 0.01)
    heartbeat.start()
    time.sleep(0.1)
    heartbeat.stop()
    assert int(FILES.read(folder.worker("job-0-r0-aabb"))) > 2


def test_an_overdue_beat_is_a_gap_before_the_next_one_succeeds(folder: StageFolder) -> None:
    """Storage that hangs for everybody must not make others look dead when it comes back."""
    heartbeat = Heartbeat(World(), folder, "job-0-r0-aabb", 0.01)
    began = heartbeat.gapless_since
    time.sleep(0.1)
    assert heartbeat.gapless_since - began >= 0.1


def test_failed_beats_are_a_gap(folder: StageFolder) -> None:
    """A write that raises is a beat that did not go through."""

    class Away(PosixFilesystem):
        def beat(self, path: str, data: bytes) -> None:
            raise OSError(5, "Input/output error")

    heartbeat = Heartbeat(World(filesystem=Away()), folder, "job-0-r0-aabb", 0.01)
    began = heartbeat.gapless_since
    heartbeat.start()
    time.sleep(0.1)
    heartbeat.stop()
    assert heartbeat.gapless_since > began


def test_a_shard_of_the_list_takes_little_memory(folder: StageFolder) -> None:
    """Its name, weight and place are kept; its inputs stay packed until it is claimed."""
    count, inputs = 20_000, tuple(Input("double-5bdc4c645ef5", shard_id("0001", n), "0" * 16, 0, 9) for n in range(2))
    lists = store_of(folder).lists
    lists.write("0002", [ShardLine(shard_id("0002", n), n / 7, 18, inputs) for n in range(count)])
    tracemalloc.start()
    picking = picker(folder, lines=lists.read_packed("0002"))
    each = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert 300 > each
    pick = picking.next()
    assert pick is not None
    assert (shard_id("0002", count - 1), inputs) == (pick.line.id, pick.line.inputs)
