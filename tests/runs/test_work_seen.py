"""What is in work is read from heartbeats: of many workers from a part, and none more often than it is written."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from one_worker import QuickClock

from hpcurate.planning.pipeline import Timing
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.runs.state import StageCounts
from hpcurate.runs.work_seen import LISTED_S, PER_FOLDER_S, READ, StageWork, WorkSeen
from hpcurate.store.filesystem import POSIX, PosixFilesystem
from hpcurate.store.heartbeat import AtWork, Beat, encoded
from hpcurate.store.layout import StageFolder
from hpcurate.store.rounds import Jobs
from hpcurate.store.stage_store import StageStore

EVERY_S = 10.0


class Counting(PosixFilesystem):
    """Notes what is listed and read."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.asked: list[str] = []

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        self.listed.append(folder)
        return super().names(folder)

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        self.asked.append(path)
        return super().read(path)


class Ground:
    """A stage's folder with heartbeats, and somebody who looks at it."""

    def __init__(self, folder: Path) -> None:
        self.filesystem, self.clock = Counting(), QuickClock()
        self.store = StageStore(self.filesystem, StageFolder(str(folder)), str(folder / "trash"))
        observer: Any = SimpleNamespace(
            store=lambda folder: self.store, open_weights=lambda stage: {str(shard): 4.0 for shard in range(1000)}
        )
        pipeline: Any = SimpleNamespace(
            timing=Timing(), stage=lambda name: SimpleNamespace(folder="s", checkpoints=False)
        )
        self.seen = WorkSeen(observer, pipeline, self.clock)

    def beat(self, worker: str, counter: int, **at: Any) -> str:
        """One worker's; the shard is its number."""
        path = self.store.folder.worker(worker)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        found = AtWork(**{"shard": worker.split("-")[1], "tasks": 4, "done": 2, "task": "t", **at})
        POSIX.beat(path, encoded(Beat(counter=b"%012d" % counter, every_s=EVERY_S, at_work=(found,))))
        return path

    def look(self, now_ns: int = 0) -> StageWork:
        """With one open round of job 7."""
        jobs = RoundView(number=1, phase=Phase.ACTIVE, done_before=0, jobs=Jobs(("7",)), queue="slurm")
        counts = StageCounts(shards=1000, shards_done=0, weight=4000.0)
        view = StageView(name="a", ready=True, listed=True, counts=counts, rounds=(jobs,))
        return self.seen.of([view], lambda: now_ns)["a"]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Without a worker yet."""
    return Ground(tmp_path)


def test_of_many_workers_a_part_is_read_and_the_rest_estimated(ground: Ground) -> None:
    """Whatever there is of earlier rounds; 300 workers are at half of 4 each."""
    for number in range(300):
        ground.beat(f"7-{number}-r0-{number * 2654435761 % 2**32:08x}", 1)
        ground.beat(f"6-{number}-r0-{number * 2654435761 % 2**32:08x}", 1)
    work = ground.look()
    assert (300, READ, READ) == (work.workers, work.read, len(ground.filesystem.asked))
    assert 300 * 2.0 == pytest.approx(work.weight_done)


def test_a_heartbeat_is_read_as_often_as_it_is_written_and_workers_are_listed_seldom(ground: Ground) -> None:
    """A look in between costs nothing; nothing is asked for that no listing had."""
    ground.beat("7-1-r0-aa", 1)
    for _ in range(9):
        ground.look()
    assert (2, 1) == (len(ground.filesystem.listed), len(ground.filesystem.asked))
    ground.clock.sleep(EVERY_S)
    ground.beat("7-1-r0-aa", 2, done=3)
    ground.beat("7-2-r0-bb", 1)
    assert (2, 5.0) == (ground.look().workers, ground.look().weight_done)
    assert (2 + 3, 1 + 2) == (len(ground.filesystem.listed), len(ground.filesystem.asked))
    assert LISTED_S + PER_FOLDER_S < EVERY_S


def test_a_worker_that_begins_is_seen_soon(ground: Ground) -> None:
    """One that had nothing in work yet was read again after 30 s: the bars of a short run never moved."""
    path = ground.store.folder.worker("7-1-r0-aa")
    os.makedirs(os.path.dirname(path))
    POSIX.beat(path, b"000000000001\n")
    assert () == ground.look().shards
    ground.beat("7-1-r0-aa", 2)
    ground.clock.sleep(3.0)
    assert 2.0 == ground.look().weight_done


def test_a_worker_is_silent_once_its_counter_stands_still(ground: Ground) -> None:
    """By the clock of who looks; what else its file has says nothing."""
    ground.beat("7-1-r0-aa", 1)
    ground.look()
    for beat in range(1, 12):
        ground.clock.sleep(EVERY_S)
        ground.beat("7-1-r0-aa", 1, since_s=float(beat))
        assert (ground.look().shards[0].silent_s > 0) == (beat * EVERY_S >= 90.0)
    ground.clock.sleep(EVERY_S)
    ground.beat("7-1-r0-aa", 2)
    assert 0.0 == ground.look().shards[0].silent_s


def test_who_looks_once_goes_by_the_stamps_of_the_store(ground: Ground) -> None:
    """Until the counter was seen to move: stamps may be of clocks that differ."""
    path = ground.beat("7-1-r0-aa", 1)
    written = os.stat(path).st_mtime_ns
    assert pytest.approx(200.0) == ground.look(written + 200 * 10**9).shards[0].silent_s
    ground.beat("7-1-r0-aa", 2)
    ground.clock.sleep(EVERY_S)
    assert 0.0 == ground.look(written + 900 * 10**9).shards[0].silent_s


def test_a_heartbeat_that_is_gone_is_none(ground: Ground) -> None:
    """Somebody tidied up between listing and reading."""
    path = ground.beat("7-1-r0-aa", 1)
    ground.look()
    os.unlink(path)
    ground.clock.sleep(EVERY_S)
    assert () == ground.look().shards
