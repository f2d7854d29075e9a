"""The rules for short and long spans, as tables."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from hpcurate.errors import ConfigError
from stages.video.spans import Short, Span, limit_lengths, scenes, strides
from stages.video.split import Split

EDGES = range(241)
"""240 frames, one tick each."""


def kept(*rules: Any) -> list[Span]:
    """Without those that are left out."""
    return limit_lengths(*rules)[0]


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ([], [(0, 240)]),
        ([100], [(0, 100), (100, 240)]),
        ([200, 100, 100], [(0, 100), (100, 200), (200, 240)]),
        ([0, 240, 300], [(0, 240)]),
    ],
)
def test_scenes_lie_between_cuts(cuts: list[int], expected: list[Span]) -> None:
    """Order and repetition do not matter, nor cuts at the ends; no cut is one span."""
    assert scenes(cuts, 240) == expected


def test_no_frames_are_no_scene() -> None:
    """Not a span without content."""
    assert scenes([], 0) == []


@pytest.mark.parametrize(
    ("spans", "short", "expected"),
    [
        ([(0, 240)], "drop", [(0, 240)]),
        ([(0, 48), (48, 240)], "drop", [(0, 48), (48, 240)]),  # exactly the minimum is kept
        ([(0, 47), (47, 240)], "drop", [(47, 240)]),
        ([(0, 100), (100, 101), (101, 240)], "drop", [(0, 100), (101, 240)]),
        ([(0, 100), (100, 101), (101, 240)], "merge", [(0, 101), (101, 240)]),
        ([(0, 10), (10, 240)], "merge", [(0, 240)]),  # the first joins the one after
        ([(0, 10), (10, 20), (20, 30)], "merge", []),  # all together still too short
        ([(0, 10), (10, 20), (20, 30)], "drop", []),
    ],
)
def test_short_spans_are_dropped_or_merged(spans: list[Span], short: Short, expected: list[Span]) -> None:
    """At least 48 ticks, at most 1000."""
    assert kept(spans, EDGES, Fraction(48), Fraction(1000), short) == expected


@pytest.mark.parametrize(
    ("spans", "short", "expected"),
    [
        ([(0, 240)], "drop", [(0, 240)]),  # the video's own ends are no cuts
        ([(0, 100), (100, 240)], "drop", [(0, 88), (112, 240)]),
        ([(0, 60), (60, 120), (120, 240)], "drop", [(0, 48), (132, 240)]),  # 36 are left between two cuts
        ([(0, 100), (100, 101), (101, 240)], "drop", [(0, 88), (113, 240)]),
        ([(0, 100), (100, 110), (110, 240)], "merge", [(0, 98), (122, 240)]),  # what was merged is no cut any more
    ],
)
def test_what_is_near_a_cut_is_left_out(spans: list[Span], short: Short, expected: list[Span]) -> None:
    """12 ticks on each side, before lengths count."""
    assert kept(spans, EDGES, Fraction(48), Fraction(1000), short, Fraction(12)) == expected


@pytest.mark.parametrize("start", [90, 91])
def test_an_uneven_rate_loses_no_more_than_asked(start: int) -> None:
    """Frames within `crop` of the cut go, the one that is exactly so far away stays."""
    edges = [0, 30, 60, start, 120, 150, 180]
    assert [(0, 2), (4, 6)] == kept([(0, 3), (3, 6)], edges, Fraction(1), Fraction(1000), "drop", Fraction(29))


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (240, [(0, 240)]),
        (239, [(0, 120), (120, 240)]),
        (120, [(0, 120), (120, 240)]),
        (100, [(0, 80), (80, 160), (160, 240)]),
    ],
)
def test_long_spans_are_cut_into_the_fewest_equal_pieces(longest: int, expected: list[Span]) -> None:
    """None longer than the maximum."""
    assert kept([(0, 240)], EDGES, Fraction(1), Fraction(longest)) == expected


def test_rounded_timestamps_do_not_decide_about_a_length() -> None:
    """48 frames at 24 a second in whole milliseconds may measure 1999: still two seconds."""
    edges = [round(n * 1000 / 24) for n in range(145)]
    spans = [(n, n + 48) for n in range(96)]
    assert kept(spans, edges, Fraction(2000), Fraction(60_000)) == spans


def test_strides_follow_the_clock_not_the_frames() -> None:
    """At an uneven rate each stride starts with the first frame at or after its time."""
    assert strides([0, 10, 90, 110, 250, 260, 400], Fraction(100)) == [(0, 3), (3, 4), (4, 6)]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"min_s": 4, "max_s": 6}, "max_s"),
        ({"min_s": -1}, "max_s"),
        ({"method": "stride", "stride_s": 1.0}, "stride_s"),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(parameters: dict[str, Any], named: str) -> None:
    """Before anything runs, by the name of the parameter."""
    with pytest.raises(ConfigError, match=rf"^{named}"):
        Split(**parameters)
