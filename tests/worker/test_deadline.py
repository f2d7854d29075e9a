"""The time a worker has left: what it begins, and when it hands back."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.failures import Ending
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import SystemClock
from hpcurate.verdict import Allowance, Limits
from hpcurate.worker.deadline import (
    HAND_BACK_S,
    PREDICTION_MARGIN,
    Deadline,
    Pace,
    Room,
    seconds_left,
    told_to_leave,
)

SLURM = ("SLURM_JOB_END_TIME", "SLURM_JOB_ID")


class Stopped(SystemClock):
    """A clock that stands."""

    now = 1000.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.now


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=5), st.integers(0, 9))
def test_a_pace_is_the_mean_of_what_was_finished(done: list[tuple[int, int]], prior: int) -> None:
    """Until then what it took others."""
    pace = Pace(prior=prior)
    for each, seconds in done:
        pace.learn(each, seconds)
    total = sum(each for each, _ in done)
    expected = sum(seconds for _, seconds in done) / total if total else prior
    assert expected == pytest.approx(pace.seconds_per_weight)


ORDINARY, MORE = Allowance(memory_mb=100, seconds=600), Allowance(memory_mb=200, seconds=1200)


def limits(here: Allowance = ORDINARY) -> Limits:
    """Of a round that has so much."""
    return Limits(ordinary=ORDINARY, most=Allowance(memory_mb=400, seconds=3600), here=here)


@pytest.mark.parametrize(("weight", "fits"), [(0.0, True), (1.0, True), (2.0, True), (2.1, False), (9.0, False)])
@pytest.mark.parametrize(("fresh", "at_last"), [*itertools.product([True, False], [True, False])])
def test_a_shard_is_begun_if_it_ends_in_time_with_a_margin(
    weight: float, fits: bool, fresh: bool, at_last: bool
) -> None:
    """Thirty seconds are left, and a unit takes ten. Where nothing fits, who has begun nothing tries what there is:
    before, the first shard of every worker was begun, whatever it had taken others.
    """
    room = Room(left=20.0 * PREDICTION_MARGIN, seconds_per_weight=10.0, fresh=fresh)
    assert (fits or (fresh and at_last)) is room.takes(weight, Allowance(), at_last=at_last)


@pytest.mark.parametrize(("before", "fits"), [(0.0, True), (0.5, True), (1.0, True), (1.1, False)])
def test_what_is_claimed_ahead_has_to_fit_after_the_shard_before_it(before: float, fits: bool) -> None:
    """Twenty seconds are left, and a unit takes ten."""
    room = Room(left=20.0 * PREDICTION_MARGIN, seconds_per_weight=10.0, before=before)
    assert fits is room.takes(1.0, Allowance())


@pytest.mark.parametrize(
    ("needs_s", "left", "fresh", "at_last"),
    [*itertools.product([0.0, 400.0, 600.0, 601.0, 1200.0], [300.0, 595.0], [True, False], [True, False])],
)
def test_who_was_cut_off_is_taken_by_who_has_enough_time(
    needs_s: float, left: float, fresh: bool, at_last: bool
) -> None:
    """Or, at last, by who has begun nothing, of an ordinary round if that may be enough."""
    room = Room(limits=limits(), left=left, fresh=fresh)
    enough = needs_s <= 600 and (needs_s <= left or (fresh and at_last))
    assert enough is room.takes(1.0, Allowance(seconds=needs_s), at_last=at_last)


@pytest.mark.parametrize(("mb", "weight"), [*itertools.product([0, 100, 101, 200, 201], [1.0, 30.0, 50.0, 100.0])])
def test_a_round_that_has_more_takes_only_what_needs_more(mb: int, weight: float) -> None:
    """By its history, or since no ordinary round would be long enough for it: a unit of weight takes 15 seconds."""
    room = Room(limits=limits(MORE), left=1200.0, seconds_per_weight=10.0)
    special, fits = mb > 100 or weight * 15 > 600, mb <= 200 and weight * 15 <= 1200
    assert (special and fits) is room.takes(weight, Allowance(memory_mb=mb))


@pytest.mark.parametrize("needs", [Allowance(), Allowance(memory_mb=9000, seconds=9e9)])
def test_without_limits_everything_fits(needs: Allowance) -> None:
    """In a test, or where a plan is of an earlier release: nothing asks for more there."""
    assert Room(left=float("inf"), seconds_per_weight=1e9).takes(1e9, Allowance(seconds=needs.seconds))


@pytest.mark.parametrize(
    ("left", "used", "had", "ending"),
    [
        (1000.0, 0, 419, "free"),
        (1000.0, 398, 419, "free"),
        (1000.0, 399, 419, "oom"),
        (1000.0, 399, 0, "free"),
        (30.0, 399, 419, "walltime"),
        (30.1, 0, 419, "free"),
        (-5.0, 0, 419, "walltime"),
        (float("inf"), 0, 419, "free"),
    ],
)
def test_why_a_worker_is_told_to_leave(left: float, used: int, had: int, ending: str) -> None:
    """Its time is over, or its job is full, or others need the node."""
    told = told_to_leave(left, 120.0, used, had)
    assert (Ending(ending), used if ending == "oom" else 0) == (told.ending, told.peak_mb)


@pytest.mark.parametrize(
    ("passed", "left", "near"),
    [(0.0, 100.0, False), (89.0, 11.0, False), (90.0, HAND_BACK_S, True), (200.0, -100.0, True)],
)
def test_shards_are_handed_back_near_the_end(passed: float, left: float, near: bool) -> None:
    """On the worker's own clock."""
    clock = Stopped()
    deadline = Deadline(clock, 100.0)
    clock.now += passed
    assert (left, near) == (deadline.left, deadline.is_near)


def test_without_an_end_it_is_never_near() -> None:
    """Outside Slurm."""
    assert not Deadline(Stopped(), float("inf")).is_near


@pytest.mark.parametrize(
    ("end", "job", "expected"),
    [
        (None, None, float("inf")),
        ("", None, float("inf")),
        (None, "7", 295.0),
        ("soon", "7", 295.0),
        ("+120", None, 120.0),
        ("+120", "7", 120.0),
    ],
)
def test_slurm_says_when_the_job_ends(
    monkeypatch: pytest.MonkeyPatch, end: str | None, job: str | None, expected: float
) -> None:
    """Where an old one does not, the job is taken to have just begun."""
    for name, value in zip(SLURM, (end, job), strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(int(time.time()) + 120) if value == "+120" else value)
    assert expected == pytest.approx(seconds_left("5m", Allocation.here(), time.time()), abs=2.0)
