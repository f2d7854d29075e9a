"""What is in work is added up with what is committed. Before, a stage stood at 0 % until its first shard was done."""

from __future__ import annotations

from typing import Any

import pytest
from reports import run_report, stage_report

from hpcurate.cli.terminal import Bars
from hpcurate.cli.verbs.common import work_lines
from hpcurate.cli.verbs.status import status_lines
from hpcurate.report.progress import SHOWN, seconds_left, seconds_per_weight, shown_tasks, stage_with_work
from hpcurate.report.status import Status
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.runs.state import StageCounts
from hpcurate.runs.summary import StageInWork, StageReport, TaskInWork
from hpcurate.runs.work_seen import ShardInWork, StageWork, in_work, prefixes_of, starting
from hpcurate.store.heartbeat import AtWork, Beat
from hpcurate.store.rounds import Jobs
from hpcurate.system.processes import ProcessIdentity

NONE_DONE = StageCounts(shards=4, shards_done=0, weight=40.0)
ONE_DONE = StageCounts(shards=4, shards_done=1, weight=40.0, weight_done=10.0, seconds=20.0)


def at(**fields: Any) -> AtWork:
    """Two of four tasks done."""
    return AtWork(**{"shard": "s", "tasks": 4, "done": 2, "task": "t", "batch": 1, "weighs": 2.0, **fields})


def shard(heavy: float = 10.0, silent_s: float = 0.0, **fields: Any) -> ShardInWork:
    """A shard that is in work, of this weight."""
    return ShardInWork(worker="w", node="n1", at=at(**fields), weight=heavy, silent_s=silent_s)


def work(*shards: ShardInWork, workers: int = 1) -> StageWork:
    """Of one worker that was read."""
    return StageWork(shards=shards, workers=workers, read=1)


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"weight": 9.0}, 9.0),
        ({"weight": 0.0}, 5.0),
        ({"weight": 99.0}, 10.0),
        ({"done": 4}, 10.0),
        ({"done": 0}, 0.0),
        ({"tasks": 0, "done": 0}, 10.0),
    ],
)
def test_what_is_done_of_a_shard_counts_by_weight(fields: dict[str, Any], done: float) -> None:
    """By its number where the weights say nothing, and never more than the shard has."""
    assert done == shard(**fields).weight_done


def test_a_stage_moves_before_its_first_shard_is_committed() -> None:
    """And is at 100 % only when all are."""
    assert [None, 0.0, 0.25, 0.9999] == [
        StageCounts().progress(),
        NONE_DONE.progress(),
        NONE_DONE.progress(10.0),
        ONE_DONE.progress(99.0),
    ]
    assert 1.0 == StageCounts(shards=0, shards_done=0).progress() == StageCounts(shards=2, shards_done=2).progress()
    assert 0.5 == StageCounts(shards=2, shards_done=1).progress(3.0), "by number where nothing weighs anything"


def test_the_pace_is_that_of_all_that_is_done() -> None:
    """Seconds per weight, also of tasks of shards in work; not known before one is done."""
    assert None is seconds_per_weight(NONE_DONE, work(shard(done=0, took_s=9.0)))
    assert 2.0 == seconds_per_weight(ONE_DONE, work(shard(done=0)))
    assert 3.0 == seconds_per_weight(ONE_DONE, work(shard(took_s=25.0)))


def test_time_left_is_shared_by_those_who_work() -> None:
    """Not by the silent and the slow; and a heavy shard is not shared at all."""
    some = [shard(), shard(), shard(silent_s=99.0), shard(since_s=1000.0)]
    assert (40.0 - 10.0 - 20.0) * 2.0 / 2 == seconds_left(ONE_DONE, work(*some), 2.0)
    assert 100.0 == seconds_left(ONE_DONE, work(shard(heavy=50.0, done=0), shard(), shard()), 2.0)
    assert None is seconds_left(ONE_DONE, work(*some[2:]), 2.0)
    assert None is seconds_left(ONE_DONE, work(shard()), None)


def test_workers_that_were_not_read_are_like_the_others() -> None:
    """And it is said that this is an estimate."""
    thousand = work(shard(), workers=4)
    assert 20.0 == thousand.weight_done
    found = stage_with_work(StageReport.of(NONE_DONE), NONE_DONE, thousand)
    assert (0.5, 4, 1) == (
        found.progress,
        found.in_work and found.in_work.workers,
        found.in_work and found.in_work.read,
    )
    lines = work_lines(run_report(stages={"a": found}))
    assert "  a: 1 of 4 workers were looked at, the rest is estimated" == lines[-1]


def test_a_few_tasks_are_shown_those_that_take_long_for_what_they_are() -> None:
    """A film may take an hour; what is silent comes first, and what waits for its commit is none."""
    tasks = [
        shard(name="film", since_s=600.0, weighs=300.0),
        shard(name="clip", since_s=500.0, weighs=1.0),
        *(shard(name=f"quick {n}", since_s=1.0) for n in range(9)),
        shard(task="", done=4),
        shard(name="silent", silent_s=100.0, since_s=0.1),
    ]
    found = shown_tasks(tasks, 2.0)
    assert ["silent", "clip"] == [one.name for one in found[:2]]
    assert 1 + SHOWN == len(found)
    assert (600.0, 2.0) == (next(iter(shown_tasks(tasks[:1], 2.0))).expected_s, found[1].expected_s)


def task(**fields: Any) -> TaskInWork:
    """A video that took 14 minutes so far."""
    usual = {"id": "i", "name": "/v/<b>\n.mp4", "shard": "s", "worker": "7-3-r0-ab", "node": "n1", "seconds": 840.0}
    return TaskInWork(**{**usual, **fields})


def lines(*tasks: TaskInWork, silent: int = 0) -> list[str]:
    """As status shows them."""
    found = StageInWork(workers=1, read=1, shards=len(tasks), silent=silent, tasks=tasks)
    return work_lines(run_report(stages={"cut": stage_report(in_work=found), "next": stage_report()}))[2:]


def test_a_slow_task_is_told_from_a_silent_worker() -> None:
    """Who is slow may be hung: what ends it is said, or how to have it ended."""
    ends, never = "stages.cut.task_timeout ends it after 30 min", "no stages.cut.task_timeout would end it"
    assert [
        "  cut: /v/<b>\\n.mp4 for 14 min",
        "  cut: /v/<b>\\n.mp4 and 12 more for 14 min, 12 min expected",
        f"  cut: /v/<b>\\n.mp4 for 14 min, 20 s expected: slow or hung, its worker is alive; {ends}",
        f"  cut: /v/<b>\\n.mp4 for 14 min, 20 s expected: slow or hung, its worker is alive; {never}",
        "  cut: no sign of life of worker 7-3-r0-ab on n1 for 3 min; it had /v/<b>\\n.mp4 in work",
        "  cut: 9 shards in all whose workers show no sign of life",
    ] == lines(
        task(), task(expected_s=700.0, batch=13), task(expected_s=20.0, limit_s=1800.0), task(expected_s=20.0),
        task(silent_s=180.0), silent=9,
    )  # fmt: skip


def test_nothing_is_said_where_nothing_is_in_work() -> None:
    """A run that waits in the queue, or has ended."""
    assert [] == work_lines(run_report())
    assert "in work:" not in status_lines(Status(run_report()))


def test_the_liveliest_of_those_that_name_a_shard_counts() -> None:
    """A worker that was killed has named it to the end; what is committed, or of other lists, is not in work."""
    beats = [
        ("killed", Beat(counter=b"1", at_work=(at(done=3),)), 500.0),
        ("new", Beat(counter=b"2", node="n2", at_work=(at(done=1), at(shard="committed"))), 2.0),
        ("stopped", Beat(counter=b"3", at_work=(at(shard="r"),)), 95.0),
    ]
    found = in_work(beats, {"s": 10.0, "r": 5.0}, 90.0)
    assert [("new", "n2", 1, 0.0), ("stopped", "", 2, 95.0)] == [
        (o.worker, o.node, o.at.done, o.silent_s) for o in found
    ]


def test_who_has_no_shard_yet_says_what_it_does() -> None:
    """Models may be loaded for minutes: a run looked hung while its workers set up."""
    setting_up = [AtWork(shard="", tasks=0, name="setting up the stage", since_s=since_s) for since_s in (5.0, 180.0)]
    beats = [
        ("a", Beat(counter=b"1", at_work=(setting_up[0],)), 0.0),
        ("b", Beat(counter=b"1", at_work=tuple(setting_up)), 9.0),
    ]
    silent = ("c", Beat(counter=b"1", at_work=(setting_up[0],)), 99.0)
    doing = starting([*beats, silent], 90.0)
    assert {"setting up the stage": (2, 180.0)} == doing
    found = stage_with_work(StageReport.of(NONE_DONE), NONE_DONE, StageWork(starting=doing, workers=3, read=3))
    assert "  a: 2 workers setting up the stage for 3 min" == work_lines(run_report(stages={"a": found}))[-1]


def test_workers_are_known_by_the_jobs_of_open_rounds() -> None:
    """Of a scheduler by their ids, of a local launcher by the process that started them."""
    me = ProcessIdentity(host="h", pid=42, start=1)
    rounds = [
        RoundView(number=1, phase=Phase.OVER, done_before=0, jobs=Jobs(("7",)), queue="slurm"),
        RoundView(number=2, phase=Phase.ACTIVE, done_before=0, jobs=Jobs(("8", "9")), queue="slurm", submitter=me),
    ]
    assert ("8-", "9-") == prefixes_of(rounds)
    local = RoundView(number=1, phase=Phase.SUBMITTING, done_before=0, submitter=me)
    assert ("inline42-", "local42-") == prefixes_of([local])
    assert () == prefixes_of(rounds[:1])


def test_bars_move_within_a_shard(capsys: pytest.CaptureFixture[str]) -> None:
    """Before, a bar stood still until a shard was committed."""
    views = [StageView(name="cut", ready=True, listed=True, counts=ONE_DONE), StageView(name="next", ready=False)]
    bars = Bars()
    bars(views, lambda: {"cut": work(shard())})
    bars.close()
    cut, following = capsys.readouterr().err.splitlines()
    assert ["37%", "1/4"] == [word for word in cut.split() if word[0].isdigit()][:2]
    assert "?" in following
