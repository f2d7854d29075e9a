"""The time a worker has left: what it begins, and when it hands back."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.store.lists import ShardLine
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import SystemClock
from hpcurate.worker.deadline import HAND_BACK_S, PREDICTION_MARGIN, Deadline, Pace, seconds_left

SLURM = ("SLURM_JOB_END_TIME", "SLURM_JOB_ID")


class Stopped(SystemClock):
    """A clock that stands."""

    now = 1000.0

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.now


def line(weight: float) -> ShardLine:
    """A shard of that weight."""
    return ShardLine("0001-000000", weight, 1, ())


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=5), st.integers(0, 9))
def test_a_prediction_is_the_mean_pace_of_what_was_finished(done: list[tuple[int, int]], weight: int) -> None:
    """Nothing known: no time at all, so that the first shard is always begun."""
    pace = Pace()
    for each, seconds in done:
        pace.learn(each, seconds)
    total = sum(each for each, _ in done)
    expected = weight * sum(seconds for _, seconds in done) / total if total else 0.0
    assert expected == pytest.approx(pace.predict(weight))


@pytest.mark.parametrize(("weight", "fits"), [(0.0, True), (1.0, True), (2.0, True), (2.1, False), (9.0, False)])
def test_a_shard_is_begun_if_it_ends_in_time_with_a_margin(weight: float, fits: bool) -> None:
    """Thirty seconds are left, and a unit takes ten."""
    pace = Pace()
    pace.learn(1.0, 10.0)
    assert fits is Deadline(Stopped(), 20.0 * PREDICTION_MARGIN).fits(line(weight), pace)


@pytest.mark.parametrize(
    ("before", "learned", "fits"),
    [(0.0, None, True), (1.0, None, False), (0.5, None, True), (1.0, 5.0, True), (1.0, 10.0, False)],
)
def test_what_is_claimed_ahead_has_to_fit_after_the_shard_before_it(
    before: float, learned: float | None, fits: bool
) -> None:
    """Twenty seconds are left and others took ten for a unit: that counts until something is known here.

    Not for a first shard: if nobody began it, it would never be done.
    """
    pace = Pace(prior=10.0)
    if learned is not None:
        pace.learn(1.0, learned)
    deadline = Deadline(Stopped(), 15.0 * PREDICTION_MARGIN)
    assert fits is deadline.fits(line(1.0), pace, before)


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


def test_without_an_end_everything_fits() -> None:
    """Outside Slurm."""
    pace = Pace()
    pace.learn(1.0, 1e9)
    deadline = Deadline(Stopped(), float("inf"))
    assert (True, False) == (deadline.fits(line(1e9), pace), deadline.is_near)


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
