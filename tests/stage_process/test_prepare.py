"""`prepare`: overlapped with `process`, bounded, waited for, and failing for its own task alone."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit_stages import Number, Prepared, numbers

from hpcurate import Stage
from hpcurate.errors import StoreFailed
from hpcurate.stage_process.ahead import CLAIM_S, LEAST_BATCHES, LOOK_AHEAD, SHORT_S, Measured, ask_in, least_batches
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.store.rows import codec
from hpcurate.testing import try_stage


class Slow(Stage[Number, Number]):
    """`prepare` takes its time."""

    version = 1

    def prepare(self, task: Number) -> None:
        """A tenth of a second."""
        time.sleep(0.1)

    def process(self, tasks: list[Number]) -> list[Number]:
        """At once."""
        return tasks


class Fails(Stage[Number, Number]):
    """Fails for some values, in `prepare` or in `process`; keeps count of both."""

    version = 1

    def __init__(self, prepare: list[int], process: list[int], error: str = "") -> None:
        self.wrong = {"prepare": prepare, "process": process}
        self.error = error
        self.prepared: list[int] = []
        self.batches: list[list[int]] = []

    def _one(self, what: str, value: int) -> None:
        if value in self.wrong[what]:
            raise OSError(28, "no space") if self.error else SystemExit(f"{what} {value}")

    def prepare(self, task: Number) -> None:
        """Remember it, and leave a trace."""
        self.prepared.append(task.value)
        self._one("prepare", task.value)
        task.memory["seen"] = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """All of them were prepared."""
        self.batches.append([task.value for task in tasks])
        assert all(task.memory["seen"] for task in tasks)
        for task in tasks:
            self._one("process", task.value)
        return tasks


def test_the_time_that_process_waited_for_prepare_is_counted(tmp_path: Path) -> None:
    """Nobody could see whether a GPU waited for its CPUs."""
    counts = try_stage(Slow(), numbers(*range(3)), tmp_path).counts
    assert counts.waiting_seconds > 0.05


# -- a failing prepare ----------------------------------------------------------------------------------


def test_a_failing_prepare_fails_its_task_alone(tmp_path: Path) -> None:
    """The others of its batch were processed one by one, and prepared twice."""
    stage = Fails(prepare=[2, 5], process=[])
    outcome = try_stage(stage, numbers(*range(7)), tmp_path, batch_size=4)
    assert [[0, 1, 3], [4, 6]] == stage.batches
    assert list(range(7)) == sorted(stage.prepared)
    assert [0, 1, 3, 4, 6] == [task.value for task in outcome.tasks]
    letters = [(row["row"], row["id"], row["stage"], row["error"], row["message"]) for row in outcome.failed]
    assert [(n, f"n{n}", "Fails", "SystemExit", f"prepare {n}") for n in (2, 5)] == letters
    assert all("in prepare" in row["traceback"] for row in outcome.failed)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_dead_letters_are_in_order_whoever_raised(tmp_path: Path, batch_size: int) -> None:
    """Their rows are the same whatever the batches are."""
    outcome = try_stage(Fails(prepare=[1, 4], process=[0, 3]), numbers(*range(6)), tmp_path, batch_size=batch_size)
    found = [(row["row"], row["message"]) for row in outcome.failed]
    assert [(0, "process 0"), (1, "prepare 1"), (3, "process 3"), (4, "prepare 4")] == found
    assert [2, 5] == [task.value for task in outcome.tasks]


def test_a_failing_prepare_of_a_store_that_fails_blames_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is nobody's fault: what it raises in `prepare` ends the attempt, as in `process`."""
    job = shard(tmp_path, "s", 3, batch_size=2)
    runner = ShardRunner(Fails(prepare=[1], process=[], error="full"))
    Path(job.directory).rename(tmp_path / "away")  # a test write fails, too
    Path(job.directory).mkdir()
    os.symlink("/dev/full", Path(job.directory) / ".test-write")
    with pytest.raises(StoreFailed):
        runner.run(job)


# -- across the end of a shard --------------------------------------------------------------------------


@pytest.mark.parametrize("least", [1, LEAST_BATCHES])
@pytest.mark.parametrize(("batches", "done"), [(b, d) for b in range(9) for d in range(b)])
def test_the_next_shard_is_asked_for_when_one_prepare_is_left(batches: int, done: int, least: int) -> None:
    """Never by a shard that is too short, nor before anything was measured; without `prepare` if batches are short."""
    for batch_s, prepare_s in itertools.product([None, 0.0, 0.02, 2.0], [None, 0.0, 1.0, 3.0, 50.0]):
        found = ask_in(batches, done, batch_s, prepare_s, least)
        if batches < least or batch_s is None or (prepare_s is None and batch_s > SHORT_S):
            assert found is None
        else:
            lead = CLAIM_S if prepare_s is None else prepare_s
            assert max(0.0, (batches - done) * batch_s - lead) == found


def test_a_short_shard_looks_ahead_where_it_takes_little_from_others() -> None:
    """Nothing if there is one stage process, and at most an eighth of what another has if there are many shards."""
    assert [1, 1] == [least_batches(shards, 1) for shards in (1, 64)]
    assert [1, LEAST_BATCHES] == [least_batches(64, processes) for processes in (8, 9)]


def test_what_was_measured_is_the_mean_of_the_latest_batches() -> None:
    """A slow start is forgotten; nothing is predicted of nothing."""
    measured = Measured()
    assert measured.ask_in(10, 5) is None
    measured.batch(100.0)
    assert measured.ask_in(10, 5) is None
    for _ in range(8):
        measured.batch(2.0)
        measured.prepared(1.0)
    assert measured.ask_in(10, 5) == 9.0


def shard(folder: Path, name: str, count: int, **changes: Any) -> ShardJob:
    """A shard of so many numbers."""
    (folder / name).mkdir()
    rows = folder / f"{name}.jsonl"
    rows.write_bytes(b"".join(codec(Number).encode_lines(numbers(*range(count)))))
    job = ShardJob(
        shard=name, directory=str(folder / name), ref=name, root=str(folder), inputs=[(str(rows), 0, count)],
        batch_size=1,
    )  # fmt: skip
    return msgspec.structs.replace(job, **changes)


class HoldsNext(Prepared):
    """Is given the next shard while it processes a task."""

    runner: Any = None
    said: Any = None
    job: Any = None
    when, held = 0, False
    waiting: Any = ()
    """At each batch: others that are prepared, or being prepared."""

    def process(self, tasks: list[Number]) -> list[Number]:
        """Once."""
        if tasks[0].value == self.when and not self.held:
            self.held = True
            self.runner.hold(self.job, self.said.append)
        self.waiting += (sum(len(feed) for feed in (self.runner._feed, self.runner._held) if feed is not None),)
        return super().process(tasks)


@pytest.mark.parametrize("when", range(6))
def test_the_first_batches_of_the_next_shard_are_prepared_as_room_is_left(tmp_path: Path, when: int) -> None:
    """Never more than LOOK_AHEAD beside the one in work, whenever the shard came; each task is prepared once."""
    said: list[InWork] = []
    stage = HoldsNext()
    stage.said, stage.job, stage.when = said, shard(tmp_path, "b", 5), when
    stage.runner = ShardRunner(stage)
    stage.runner.run(shard(tmp_path, "a", 6), said.append)
    last = {m.shard: m for m in said}
    assert ("n0", "n1") == last["b"].tasks
    assert (LOOK_AHEAD,) * 6 == stage.waiting or when > 3
    assert max(stage.waiting) == LOOK_AHEAD
    stage.runner.run(stage.job, said.append)
    stage.runner.close()
    assert [f"prepared n{n}" for n in (*range(6), *range(5))] == stage.seen
    assert 5 == len((tmp_path / "b" / "tasks.jsonl").read_text().splitlines())


def test_a_shard_that_was_held_and_is_not_the_next_is_forgotten(tmp_path: Path) -> None:
    """It was handed back meanwhile."""
    runner = ShardRunner(Prepared())
    runner.hold(shard(tmp_path, "b", 5), lambda message: None)
    assert 3 == runner.run(shard(tmp_path, "c", 3)).passed
    assert not (tmp_path / "b" / "tasks.jsonl").exists()
    runner.close()


def test_a_next_shard_that_cannot_be_read_fails_when_it_begins(tmp_path: Path) -> None:
    """Not the one before it."""
    job = msgspec.structs.replace(shard(tmp_path, "b", 5), inputs=[(str(tmp_path / "gone"), 0, 5)])
    runner = ShardRunner(Prepared())
    runner.hold(job, lambda message: None)
    assert 3 == runner.run(shard(tmp_path, "c", 3)).passed
    with pytest.raises(StoreFailed):
        runner.run(job)
    runner.close()


@pytest.mark.parametrize(
    ("changes", "asks"), [({}, True), ({"isolate": True}, False), ({"whole": True}, False), ({"batch_size": 3}, False)]
)
def test_who_asks_for_the_next_shard(tmp_path: Path, changes: dict[str, Any], asks: bool) -> None:
    """Never in isolation, never for whole shards, never with few batches."""
    said: list[InWork] = []
    runner = ShardRunner(Prepared())
    runner.run(shard(tmp_path, "a", 6, **changes), said.append)
    runner.close()
    assert asks is any(message.ask_in is not None for message in said)


class Sleeps(Stage[Number, Number]):
    """Prepares nothing, and takes so long for a batch."""

    def __init__(self, sleep_s: float) -> None:
        self.sleep_s = sleep_s

    def process(self, tasks: list[Number]) -> list[Number]:
        """Pass them on."""
        time.sleep(self.sleep_s)
        return tasks


@pytest.mark.parametrize(("sleep_s", "asks"), [(0.0, True), (SHORT_S * 2, False)])
def test_who_prepares_nothing_asks_if_batches_are_short(tmp_path: Path, sleep_s: float, asks: bool) -> None:
    """For a claim and a commit alone, which a longer batch does not notice."""
    said: list[InWork] = []
    ShardRunner(Sleeps(sleep_s)).run(shard(tmp_path, "a", 6), said.append)
    assert asks is any(message.ask_in is not None for message in said)
