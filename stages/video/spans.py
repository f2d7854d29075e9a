"""Which frames belong together: scenes, strides, and the rules for short and long ones. Pure functions.

A span is a pair of frame numbers `(first, after the last)`. `edges` holds the timestamp of every frame
and, last, where the video ends, all in ticks of the stream's time base.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import ceil
from typing import Literal

Span = tuple[int, int]
Short = Literal["drop", "merge"]


def scenes(cuts: Iterable[int], frames: int) -> list[Span]:
    """Spans between cuts; a cut is the number of the first frame of a scene. No cut: one span."""
    starts = [0, *sorted({cut for cut in cuts if 0 < cut < frames})]
    return list(zip(starts, [*starts[1:], frames])) if frames else []


def strides(edges: Sequence[int], step: Fraction) -> list[Span]:
    """Spans of `step` ticks; each starts with the first frame at or after its time; the last may be short."""
    frames = len(edges) - 1
    count = ceil((edges[-1] - edges[0]) / step)
    return scenes((bisect_left(edges, edges[0] + k * step, 0, frames) for k in range(1, count)), frames)


def limit_lengths(
    spans: list[Span],
    edges: Sequence[int],
    shortest: Fraction,
    longest: Fraction,
    short: Short = "drop",
    crop: Fraction = Fraction(0),
) -> tuple[list[Span], list[Span]]:
    """(spans, those left out as too short) after the length rules, in ticks and to within half a frame.

    Spans that are below `shortest` by themselves are, with `merge`, merged into the one before (the first into the one
    after). Then spans lose `crop` at each end that is a cut; those below `shortest` now are dropped, and those above
    `longest` are cut into the fewest equal pieces that are not longer.
    """
    slack = half_frame(edges)
    if short == "merge":
        spans = _merged(spans, edges, shortest - slack)
    spans = [_cropped(span, edges, crop) for span in spans]
    left = [span for span in spans if span[0] < span[1]]
    kept = [span for span in left if ticks(span, edges) >= shortest - slack]
    too_short = [span for span in left if ticks(span, edges) < shortest - slack]
    return [piece for span in kept for piece in _pieces(span, edges, longest, slack)], too_short


def _cropped(span: Span, edges: Sequence[int], crop: Fraction) -> Span:
    """Without what is within `crop` ticks of a cut; the video's own ends are none."""
    last = len(edges) - 1
    first = bisect_left(edges, edges[span[0]] + crop, 0, last) if span[0] else 0
    end = bisect_right(edges, edges[span[1]] - crop) - 1 if span[1] < last else last
    return first, end


def half_frame(edges: Sequence[int]) -> Fraction:
    """Half the mean distance of frames: containers round timestamps, so lengths are compared to within it."""
    return Fraction(edges[-1] - edges[0], 2 * max(1, len(edges) - 1))


def ticks(span: Span, edges: Sequence[int]) -> int:
    """Length of a span."""
    return edges[span[1]] - edges[span[0]]


def _merged(spans: list[Span], edges: Sequence[int], shortest: Fraction) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        if merged and (ticks(span, edges) < shortest or ticks(merged[0], edges) < shortest):
            merged[-1] = (merged[-1][0], span[1])
        else:
            merged.append(span)
    return merged


def _pieces(span: Span, edges: Sequence[int], longest: Fraction, slack: Fraction) -> list[Span]:
    start, length = edges[span[0]], ticks(span, edges)
    count = max(1, ceil((length - slack) / longest))
    inner = [bisect_left(edges, start + Fraction(length * k, count) - slack, *span) for k in range(1, count)]
    numbers = sorted({*span, *inner})
    return list(itertools.pairwise(numbers))
