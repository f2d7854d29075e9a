"""What happened in a run: its attempts and its workers, from files alone."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from engine_stages import Digits, Double, Number

import hpcurate
from hpcurate.failures import Ending
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.report.events import attempts, span_of, worker_spans
from hpcurate.report.run_view import RunView
from hpcurate.store.layout import fan_of
from hpcurate.store.worker_records import WorkerRecord, write_worker_record

RECORD = WorkerRecord(
    worker="job-0-r0-aa", stage="double", round=1, index=0, node="n7", processes=1, cpus=2, gpus=0, memory_mb=100, begun=1e9
)  # fmt: skip


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    """A complete run of two stages."""
    numbers = [Number(id=f"n{i}", value=i) for i in range(1, 8)]
    small = StageOptions(shard_tasks=3, resources={"memory": "100MB"})
    store = tmp_path_factory.mktemp("events") / "store"
    stages = {"double": Step(Double(), small), "digits": Step(Digits(), small)}
    return RunView(hpcurate.run(stages, numbers, store=store, launcher="inline").run)


def test_every_attempt_with_its_worker_and_times(view: RunView) -> None:
    """The index has all of what came through at once."""
    spans, found = worker_spans(view), list(attempts(view))
    assert ["double", "digits"] == [span.record.stage for span in spans] == list(dict.fromkeys(a.stage for a in found))
    by_worker = {span.record.worker: span for span in spans}
    assert {"committed"} == {one.ending for one in found}
    for one in found:
        span = by_worker[one.worker]
        assert span.record.begun <= one.begun <= one.ended <= span.ended
        assert (span.record.node, span.fate) == (one.node, "left")
    busy = sum(one.seconds for one in found if one.stage == "double")
    assert 0.0 < busy <= spans[0].record.busy_seconds + 0.01  # which has the commits, too
    assert {"stage", "shard", "attempt", "ending", "node", "begun", "ended", "seconds"} <= found[0].plain().keys()


def test_attempts_that_came_to_nothing_are_events(view: RunView) -> None:
    """Of an open shard those that its claims name, and the one that runs; of a committed one its own history."""
    stage = view.planned[0]
    store, (worker, *_) = view.store(stage), worker_spans(view)
    shard = view.committed(stage)[0]
    claim = store.claims.read(shard.id, 1)
    assert claim is not None
    try:
        os.rename(shard.path, shard.path.with_name(".away"))
        store.claims.end(claim, Ending.OOM, "too large", begun=5.0, ended=7.5)
        tried = [one for one in attempts(RunView(view.run), stage.name) if one.shard == shard.id]
        assert [("oom", 1, 2.5, "too large")] == [(a.ending, a.attempt, a.seconds, a.detail) for a in tried]
        assert [(worker.record.worker, claim.node)] == [(a.worker, a.node) for a in tried]
        history = store.claims.history(shard.id, store.claims.latest(fan_of(shard.id))[shard.id])
        store.claims.take(msgspec.structs.replace(claim, attempt=2, history=history))
        tried = [one for one in attempts(RunView(view.run), stage.name) if one.shard == shard.id]
        assert [("oom", 2.5), ("running", 0.0)] == [(a.ending, a.seconds) for a in tried]
    finally:
        os.rename(shard.path.with_name(".away"), shard.path)
        for path in Path(store.folder.claims(fan_of(shard.id))).glob(f"{shard.id}.*"):
            if path.name != f"{shard.id}.1":
                path.unlink()


@pytest.mark.parametrize(
    ("ended", "heard", "over", "expected"),
    [(9.0, 0.0, True, ("left", 9.0)), (None, 5.0, True, ("killed", 5.0)), (None, 5.0, False, ("there", 5.0)),
     (None, -3.0, True, ("killed", 0.0))],
)  # fmt: skip
def test_how_long_a_worker_was_there(
    ended: float | None, heard: float, over: bool, expected: tuple[str, float]
) -> None:
    """As it wrote itself; of one that was killed as long as its heart beat."""
    record = msgspec.structs.replace(RECORD, ended=None if ended is None else RECORD.begun + ended)
    span = span_of(record, heard, over=over)
    assert expected == (span.fate, span.seconds)


def test_a_killed_worker_was_there_until_its_last_heartbeat(view: RunView) -> None:
    """By the clock of the storage, on which both its record and its heartbeat are: no two clocks are compared."""
    store, submission = view.store(view.planned[0]), Path(view.run.path, "submissions", "double-0001")
    write_worker_record(view.run.filesystem, str(submission), RECORD)
    path, beat = submission / "workers" / f"{RECORD.worker}.json", Path(store.folder.worker(RECORD.worker))
    try:
        beat.parent.mkdir(parents=True, exist_ok=True)
        beat.write_bytes(b"000000000007\n")
        os.utime(path, (50, 50))
        os.utime(beat, (50, 92))
        (span,) = [one for one in worker_spans(view) if one.record.worker == RECORD.worker]
        assert ("killed", 42.0) == (span.fate, span.seconds)
    finally:
        path.unlink()
        beat.unlink()
