"""What is left of a stage after a round, and what the next round has to have for it."""

from __future__ import annotations

from typing import Any

import pytest
from planned import planned

from hpcurate.failures import AttemptEnd, Ending
from hpcurate.planning.job_time import Load, with_time
from hpcurate.planning.plan import having, limits_of, most_of, worker_shape
from hpcurate.runs.left import Group, Left, left_of, tells
from hpcurate.verdict import Allowance

STAGE = planned(resources={"memory": "419MB", "time": "1h"})
MOST = Allowance(memory_mb=1676, seconds=7200.0)
LIMITS = limits_of(STAGE, MOST)


def end(ending: str, *in_flight: str, **had: Any) -> AttemptEnd:
    """How an attempt ended."""
    return AttemptEnd(attempt=1, ending=Ending(ending), in_flight=in_flight, **had)


SHORT = [end("oom", "a", memory_mb=419), end("oom", "a", memory_mb=419, peak_mb=416)]
SLOW = [end("walltime", seconds=3500.0)]
CUT_TWICE = [end("walltime", seconds=7000.0)] * 2


def left(*histories: list[AttemptEnd], untried: int = 0, **options: Any) -> Left:
    """Of shards 0, 1, … with these histories."""
    stage = planned(**{"resources": {"memory": "419MB", "time": "1h"}, **options})
    return left_of(stage, untried, [(str(n), history) for n, history in enumerate(histories)], LIMITS)


def test_shards_without_a_history_are_ordinary() -> None:
    """And nothing is told by them, nor by those that were handed back or lost."""
    assert Left((Group(3),)) == left(untried=3)
    assert Left((Group(4),)) == left([end("lost"), end("free", "a")], [end("dead")], [end("store")], untried=1)


def test_those_that_need_the_same_are_one_group_with_its_numbers() -> None:
    """Ordinary ones first, then the least memory, then the least time."""
    more = Allowance(memory_mb=838, seconds=3600.0)
    longer = Allowance(memory_mb=419, seconds=7020.0)
    found = left(SHORT, SLOW, SHORT, untried=1)
    assert (
        Group(1),
        Group(1, longer, why="1 shard that was not done after 58 min; it has 117 min"),
        Group(2, more, why="2 shards that ran out of memory, 416 of 419 MB; it has 838 MB"),
    ) == found.groups
    assert 5 == found.told


def test_an_ordinary_round_has_what_its_shards_need() -> None:
    """Where it may choose its time, it once chose less: no worker of it took them, and the stage stalled."""
    (group,) = left([end("walltime", seconds=540.0)], [end("walltime", seconds=700.0)]).groups
    assert Group(2, least_s=1400.0) == group
    stage = planned(resources={"time": "auto"})
    load = Load(weight=1.0, heaviest=1.0, seconds_per_weight=1.0)
    assert ["10m", "24m"] == [with_time(stage, load, 1, 0.0, s).resources.time for s in (0.0, group.least_s)]


def test_one_that_needs_both_gets_both() -> None:
    """In one round."""
    (group,) = left([*SHORT, *SLOW]).groups
    assert Allowance(memory_mb=838, seconds=7020.0) == group.has
    assert group.why.endswith("416 of 419 MB and was not done after 58 min; it has 838 MB and 117 min")


ELSEWHERE = "its partition allows no more: stages.one.sbatch.partition=NAME for one that does"
SMALLER = "stages.one.shard_tasks=25"


@pytest.mark.parametrize(
    ("options", "tasks", "way_out", "overrides"),
    [
        ({"max_time": "2h"}, 100, "stages.one.max_time=240m allows more", ("stages.one.max_time=240m",)),
        ({}, 100, f"{ELSEWHERE}, or smaller shards, {SMALLER}", (SMALLER, "rerun=one")),
        ({"max_time": "9h"}, 3, ELSEWHERE, ()),
    ],
)
def test_what_is_stuck_says_what_to_type(
    options: dict[str, Any], tasks: int, way_out: str, overrides: tuple[str, ...]
) -> None:
    """The key that holds it back, the stage's own or the site's, with the value that helps: it was `shard_tasks=N`."""
    stage = planned(resources={"memory": "419MB", "time": "1h"}, **options)
    found = left_of(stage, 0, [("0", CUT_TWICE)], LIMITS, {"0": tasks})
    assert (f"shard 0: 2 attempts were not done after 117 of 120 min, the most that it may have; {way_out}",) == (
        found.stuck
    )
    assert overrides == found.overrides
    assert () == found.groups


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (end("free", "a"), False),
        (end("lost", "a"), False),
        (end("store"), False),
        (end("dead"), False),
        (end("dead", "a"), True),
        (end("oom"), True),
        (end("crash", "a", "b"), True),
        (end("timeout", "a"), True),
        (end("walltime", seconds=9.0), True),
        (end("walltime"), False),
    ],
)
def test_what_a_verdict_rests_on(one: AttemptEnd, expected: bool) -> None:
    """The mere death of a worker leads nowhere: two rounds of it end a stage."""
    assert expected is tells(one)


@pytest.mark.parametrize(("seconds", "told"), [([60.0, 61.0, 62.0], 1), ([60.0, 118.0, 119.0], 2), ([60.0, 20.0], 1)])
def test_the_same_time_again_tells_nothing_more(seconds: list[float], told: int) -> None:
    """A stage whose jobs were shorter than it knew went on for twenty rounds (found by the simulation)."""
    assert told == left([end("walltime", seconds=s) for s in seconds]).told


# -- what a round has -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "nodes_mb", "end_s", "expected"),
    [
        ({}, 0, 0.0, (1676, 0.0)),
        ({}, 1000, 0.0, (1000, 0.0)),
        ({}, 64000, 7200.0, (1676, 7200.0)),
        ({"max_memory": "8GB"}, 64000, 7200.0, (8192, 7200.0)),
        ({"max_memory": "8GB"}, 6000, 0.0, (6000, 0.0)),
        ({"max_memory": "100MB", "max_time": "1m"}, 0, 0.0, (419, 3600.0)),
        ({"max_time": "3h"}, 0, 7200.0, (1676, 7200.0)),
        ({"max_time": "90m"}, 0, 7200.0, (1676, 5400.0)),
        ({"processes": 3}, 1300, 0.0, (1299, 0.0)),
        ({"processes": 3, "max_memory": "500MB"}, 0, 0.0, (1500, 0.0)),
    ],
)
def test_the_most_is_bound_by_the_stage_and_by_the_site(
    options: dict[str, Any], nodes_mb: int, end_s: float, expected: tuple[int, float]
) -> None:
    """Four times as much unless it is said; whole stage processes; never less than an ordinary round has."""
    stage = planned(resources={"memory": "419MB", "time": "1h"}, **options)
    most = most_of(stage, nodes_mb, end_s)
    assert expected == (most.memory_mb, most.seconds)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize(("memory_mb", "seconds"), [(838, 3600.0), (1000, 3601.0), (1676, 5399.5)])
def test_a_round_asks_for_what_its_shards_need(processes: int, memory_mb: int, seconds: float) -> None:
    """In whole stage processes and minutes, and never less: its workers would not take them."""
    stage = planned(resources={"memory": "100MB", "time": "1h"}, processes=processes)
    needs = Allowance(memory_mb=memory_mb, seconds=seconds)
    limits = limits_of(stage, MOST, needs)
    asked = having(stage, limits.here)
    assert worker_shape(asked).memory_mb - processes < memory_mb <= worker_shape(asked).memory_mb
    assert limits.takes(needs)
    assert asked.resources.time == f"{60 if seconds == 3600 else 61 if seconds == 3601 else 90}m"
    assert (stage.fingerprint, stage.resources.cpus) == (asked.fingerprint, asked.resources.cpus)
