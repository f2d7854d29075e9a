"""Another try within the attempt: for what is worth it, after pauses, alone, and counted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit_stages import Number, numbers

from hpcurate import Stage
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.raised import out_of_memory
from hpcurate.stage_process.runner import ShardRunner
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts
from hpcurate.task import File


class Flaky(Stage[Number, Number]):
    """Fails so often for a value, in `prepare` or `process`, each time after it has changed the task and written."""

    version = 1

    def __init__(self, prepare: dict[int, int] | None = None, process: dict[int, int] | None = None) -> None:
        self.left = {"prepare": dict(prepare or {}), "process": dict(process or {})}
        self.error: BaseException = ConnectionResetError("the server hung up")
        self.batches: list[list[int]] = []

    def _one(self, what: str, value: int) -> None:
        if self.left[what].get(value, 0):
            self.left[what][value] -= 1
            raise self.error

    def prepare(self, task: Number) -> None:
        """Leave something for `process`."""
        assert task.story == ""
        task.story = "prepared"
        self._one("prepare", task.value)
        task.memory["prepared"] = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """Each of them is as it was read, and prepared."""
        self.batches.append([task.value for task in tasks])
        for task in tasks:
            assert (task.story, task.memory.pop("prepared")) == ("prepared", True)
            task.story = "done"
            if self.left["process"].get(task.value):
                Path(self.file(task, f"half-{self.left['process'][task.value]}")).write_text("x")
            else:
                task.note = self._written(task)
            self._one("process", task.value)
        return tasks

    def _written(self, task: Number) -> File:
        note = self.file(task, "note")
        Path(note).write_text(f"{task.value}")
        return note


class FlakyGather(Flaky):
    """The same over a whole shard."""

    gather = True


def run(folder: Path, stage: Stage[Any, Any], count: int, **changes: Any) -> tuple[ShardCounts, list[InWork]]:
    """Over so many numbers."""
    (folder / "s").mkdir()
    rows = folder / "rows.jsonl"
    rows.write_bytes(b"".join(codec(Number).encode_lines(numbers(*range(count)))))
    job = ShardJob(
        shard="s", directory=str(folder / "s"), ref="s", root=str(folder), inputs=[(str(rows), 0, count)], batch_size=1,
        tries=3,
    )  # fmt: skip
    said: list[InWork] = []
    runner = ShardRunner(stage)
    try:
        return runner.run(msgspec.structs.replace(job, **changes), said.append), said
    finally:
        runner.close()


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """What was written."""
    path = folder / "s" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("where", ["prepare", "process"])
def test_a_task_that_comes_right_is_no_dead_letter(tmp_path: Path, where: str, batch_size: int) -> None:
    """It failed twice, and was a dead letter at once. Its order, its fields and its files are those of one try."""
    counts, _ = run(tmp_path, Flaky(**{where: {1: 2, 3: 1}}), 5, batch_size=batch_size)
    assert (5, 0) == (counts.passed, counts.failed)
    assert [(n, "done") for n in range(5)] == [(row["value"], row["story"]) for row in rows_of(tmp_path, "tasks")]
    files = sorted(str(path.relative_to(tmp_path / "s")) for path in tmp_path.glob("s/files/*/*"))
    assert [f"files/n{n}/note" for n in range(5)] == files
    if batch_size == 1 or where == "prepare":
        assert ({"3": 1, "2": 1}, {"ConnectionResetError": 3}) == (counts.tries, counts.retried)


def test_prepare_is_tried_again_before_the_batch_is_processed(tmp_path: Path) -> None:
    """The others of it are not prepared again, and not one by one."""
    stage = Flaky(prepare={1: 2, 3: 1})
    run(tmp_path, stage, 8, batch_size=4)
    assert [[0, 1, 2, 3], [4, 5, 6, 7]] == stage.batches


@pytest.mark.parametrize("where", ["prepare", "process"])
def test_a_task_that_never_comes_right_says_how_often_it_was_tried(tmp_path: Path, where: str) -> None:
    """And the others pass; what failed is no try that was needed."""
    counts, _ = run(tmp_path, Flaky(**{where: {1: 9, 2: 1}}), 4, batch_size=2)
    tries = {"prepare": 3, "process": 4}[where]  # of both batches, and twice of the one task
    assert (3, 1, {"ConnectionResetError": tries}) == (counts.passed, counts.failed, counts.retried)
    [row] = rows_of(tmp_path, "failed")
    assert ("n1", 3, "exception", "ConnectionResetError") == tuple(row[k] for k in ("id", "tries", "kind", "error"))
    assert "names" not in row


def test_tries_of_prepare_and_process_are_counted_together(tmp_path: Path) -> None:
    """Three in all, not three of each."""
    counts, _ = run(tmp_path, Flaky(prepare={0: 1}, process={0: 2}), 1)
    assert (1, 3) == (counts.failed, rows_of(tmp_path, "failed")[0]["tries"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"retry_on": ()}, ConnectionResetError()),
        ({"tries": 1}, ConnectionResetError()),
        ({}, ValueError("broken")),
        ({"retry_on": ("KeyError",)}, ConnectionResetError()),
        ({"retry_on": ("Exception",)}, SystemExit(1)),
        ({"retry_on": ("Exception",)}, RuntimeError("CUDA out of memory")),
    ],
)
def test_what_is_not_worth_it_fails_at_once(tmp_path: Path, changes: dict[str, Any], error: BaseException) -> None:
    """As all exceptions did."""
    stage = Flaky(process={0: 1})
    stage.error = error
    counts, _ = run(tmp_path, stage, 1, **changes)
    assert (1, {}, 1) == (counts.failed, counts.retried, len(stage.batches))


def test_pauses_grow_and_are_reported(tmp_path: Path) -> None:
    """The supervisor knows of each how long it takes: a task that waits for another try does not hang."""
    began = time.monotonic()
    _, said = run(tmp_path, Flaky(process={0: 2}), 1, backoff=0.02)
    waited = time.monotonic() - began
    first, second = (message.pause for message in said if message.pause)
    assert 0.015 <= first <= 0.02
    assert 0.03 <= second <= 0.04
    assert waited >= first + second
    assert {("n0",)} == {message.tasks for message in said}


def test_a_gather_is_tried_as_a_whole(tmp_path: Path) -> None:
    """Or its own error ends the attempt."""
    counts, _ = run(tmp_path, FlakyGather(process={1: 2}), 3, whole=True, batch_size=0)
    assert (3, {"3": 3}, {"ConnectionResetError": 2}) == (counts.passed, counts.tries, counts.retried)


def test_a_gather_that_never_comes_right(tmp_path: Path) -> None:
    """Shows the error that the stage raised."""
    stage = FlakyGather(process={1: 3})
    with pytest.raises(ConnectionResetError):
        run(tmp_path, stage, 3, whole=True, batch_size=0)
    assert 3 == len(stage.batches)


@pytest.mark.parametrize(("where", "batch_size"), [("prepare", 1), ("prepare", 3), ("process", 1), ("process", 3)])
def test_want_of_memory_ends_the_attempt(tmp_path: Path, where: str, batch_size: int) -> None:
    """With that task in work. It was a dead letter: more memory is what it needs."""
    stage = Flaky(**{where: {1: 9}})
    stage.error = MemoryError("16 EiB")
    with pytest.raises(Exception, match="16 EiB") as caught:
        run(tmp_path, stage, 3, batch_size=batch_size)
    assert out_of_memory(caught.value)
    assert [] == rows_of(tmp_path, "failed")


def test_memory_that_is_enough_for_one_at_a_time(tmp_path: Path) -> None:
    """A batch is split first."""
    stage = Flaky(process={1: 1})
    stage.error = MemoryError()
    assert 3 == run(tmp_path, stage, 3, batch_size=3)[0].passed


def test_what_is_processed_already_is_not_again_where_a_prepare_lacks_gpu_memory(tmp_path: Path) -> None:
    """The rest of its batch was processed and written, then all of it once more: dead letters for a repeated id."""
    stage = Flaky(prepare={1: 1})
    stage.error = RuntimeError("CUDA out of memory")
    counts, _ = run(tmp_path, stage, 4, batch_size=4)
    assert (4, 0) == (counts.passed, counts.failed)
