"""Rates and time left, from samples."""

from __future__ import annotations

import pytest

from hpcurate.report.rates import WINDOW_S, Sample, SampleWindow, percent, seconds_left, shards_per_second


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


@pytest.mark.parametrize(
    ("samples", "left"),
    [
        ([], None),
        ([(0, 0.2)], None),
        ([(0, 0.2), (9, 0.2)], None),
        ([(0, None), (9, 0.2)], None),
        ([(0, 0.3), (9, 0.2)], None),
        ([(0, None), (5, 0.2), (7, 0.3), (15, 0.6)], 10.0),
    ],
)
def test_time_left_is_by_what_is_done_of_the_work(
    samples: list[tuple[float, float | None]], left: float | None
) -> None:
    """Also of shards that are not committed; not known until something moved."""
    assert (left if left is None else pytest.approx(left)) == seconds_left(
        [Sample(at_s, 0, share) for at_s, share in samples]
    )


def test_a_hundred_percent_is_complete() -> None:
    """Shares are rounded down."""
    assert ["0%", "42%", "99%", "100%"] == [percent(share) for share in (0.0, 0.429, 0.9999, 1.0)]


def test_old_samples_are_forgotten() -> None:
    """The window is ten minutes long."""
    window = SampleWindow()
    window.add(Sample(0.0, 0))
    window.add(Sample(1.0, 3))
    assert (Sample(1.0, 3), Sample(WINDOW_S + 1, 9)) == window.add(Sample(WINDOW_S + 1, 9))
