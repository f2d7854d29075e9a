"""Rates and time left, from samples."""

from __future__ import annotations

import pytest

from hpcurate.report.rates import WINDOW_S, Sample, SampleWindow, duration, seconds_left, shards_per_second


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        ([], None),
        ([(0, 1)], None),
        ([(0, 1), (9, 1)], None),
        ([(5, 1), (5, 2)], None),
        ([(0, 1), (4, 2), (10, 6)], 0.5),
    ],
)
def test_a_rate_is_not_known_until_something_was_committed(
    samples: list[tuple[float, int]], rate: float | None
) -> None:
    """Then it is that between the first and the last sample."""
    assert rate == shards_per_second([Sample(*one) for one in samples])


def test_time_left_needs_a_rate_and_a_total() -> None:
    """None without one of them."""
    assert (None, None, 8.0) == (seconds_left(None, 9, 1), seconds_left(1.0, None, 1), seconds_left(0.5, 5, 1))


def test_old_samples_are_forgotten() -> None:
    """The window is ten minutes long."""
    window = SampleWindow()
    window.add(Sample(0.0, 0))
    window.add(Sample(1.0, 3))
    assert (Sample(1.0, 3), Sample(WINDOW_S + 1, 9)) == window.add(Sample(WINDOW_S + 1, 9))


def test_durations_have_one_unit() -> None:
    """The largest that fits."""
    assert ["42 s", "5 min", "3.2 h", "2.1 d"] == [duration(s) for s in (42, 300, 11500, 181000)]
