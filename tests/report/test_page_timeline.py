"""The timeline of the page: one axis without long gaps, and what each worker did on it."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from hpcurate.report.events import Attempt, WorkerSpan
from hpcurate.report.page.charts import lanes
from hpcurate.report.page.timeline import LANES, Axis, timeline_of
from hpcurate.store.worker_records import WorkerRecord

NOON = 1_790_000_000.0 - 1_790_000_000 % 86400 + 43200


def worker(
    name: str, begun: float, ended: float, fate: Literal["left", "killed", "there"] = "left", **fields: Any
) -> WorkerSpan:
    """One of stage `a`, its times in seconds after noon."""
    usual = {"stage": "a", "round": 1, "index": 0, "node": "<n1>", "processes": 1, "cpus": 2, "gpus": 0, "memory_mb": 1}
    record = WorkerRecord(worker=name, begun=NOON + begun, ended=NOON + ended, **{**usual, **fields})
    return WorkerSpan(record, NOON + ended, fate)


def attempt(name: str, begun: float, ended: float, ending: str = "committed") -> Attempt:
    """At a shard of stage `a`."""
    end = NOON + ended if ended else 0.0
    return Attempt(stage="a", shard="s", attempt=1, ending=ending, worker=name, begun=NOON + begun, ended=end)


def test_a_week_without_workers_takes_no_place() -> None:
    """What is left out is marked with its length; short gaps stay."""
    week = 7 * 86400.0
    axis = Axis.over([(0, 100), (105, 200), (week, week + 100)])
    assert ((0.0, 200.0), (week, week + 100)) == axis.stretches
    assert [0.0, 1.0] == [axis.place(0), axis.place(week + 100)]
    assert axis.place(100) == pytest.approx(axis.place(200) / 2)
    ((place, seconds),) = axis.breaks()
    assert week - 200 == seconds
    assert axis.place(200) < place < axis.place(week)
    assert all(0 <= place <= 1 for place, _ in axis.ticks())
    assert "01 Jan 00:00" == axis.ticks()[0][1], "with the day, where there are several"


def test_lanes_have_what_a_worker_did() -> None:
    """Setting up, work, what came to nothing; what a killed worker had in work ends with it; of others nothing."""
    spans = [worker("w1", 0, 100, setup_seconds=10), worker("w2", 0, 50, "killed")]
    attempts = [
        attempt("w1", 10, 60), attempt("w1", 60, 90), attempt("w1", 95, 100, "error"), attempt("w2", 25, 0, "dead"),
        attempt("other", 0, 100),
    ]  # fmt: skip
    timeline = timeline_of(["a", "b"], spans, attempts)
    assert timeline is not None
    (stage,) = timeline.stages
    first, second = stage.lanes
    assert ((0.0, 0.1), ((0.1, 0.9),), ((0.95, 1.0),)) == (first.setup, first.busy, first.lost)
    assert ((), ((0.25, 0.5),), True) == (second.busy, second.lost, second.killed)
    assert (2, 1) == (stage.workers, stage.killed)
    drawn = lanes(stage.lanes, [0.5], "<label>")
    assert "&lt;n1&gt; · worker 0 of round 1, killed" in drawn
    assert "&lt;label&gt;" in drawn


def test_of_many_workers_some_are_drawn() -> None:
    """At even distances, and all of them are counted."""
    timeline = timeline_of(["a"], [worker(f"w{n}", n, n + 1) for n in range(1000)], [])
    assert timeline is not None
    assert (1000, True) == (timeline.stages[0].workers, len(timeline.stages[0].lanes) <= LANES)


def test_without_records_there_is_none() -> None:
    """Of a run of an earlier release."""
    assert timeline_of(["a"], [], []) is None
