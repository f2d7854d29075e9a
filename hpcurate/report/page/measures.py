"""Measures: numeric fields of tasks, how they are distributed, and where a threshold cuts them. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence

import attrs

BINS = 40
FEW = 24
"""So many different whole numbers have a bin each."""
TAIL = 0.995
"""Share of the values that an axis reaches to where a few lie far out."""
BOOKKEEPING = ("_pts", "_num", "_den", "_ns", "_frame", "start_s", "end_s")
"""How fields end that place a task in its file and say nothing about it."""


@attrs.define(frozen=True)
class Threshold:
    """What a filter asks of a measure."""

    least: float | None = None
    most: float | None = None


@attrs.define
class Values:
    """All values of one field at one stage."""

    kept: array[float] = attrs.field(factory=lambda: array("d"))
    dropped: array[float] = attrs.field(factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.kept) + len(self.dropped)

    @property
    def first(self) -> float:
        """One of them; there is one."""
        return (self.kept or self.dropped)[0]

    @property
    def vary(self) -> bool:
        """Whether there are two that differ."""
        return any(value != self.first for values in (self.kept, self.dropped) for value in values)


@attrs.define(frozen=True, kw_only=True)
class Histogram:
    """Counts in bins of equal width on its axis."""

    low: float
    high: float
    log: bool
    """The axis is that of logarithms."""
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    below: bool
    """The first bin also has what lies below the axis."""
    above: bool
    """The last bin also has what lies above it."""

    def place(self, value: float) -> float:
        """Where a value is on the axis, 0 … 1."""
        return _place(value, self.low, self.high, self.log)

    @property
    def most(self) -> int:
        """Of the fullest bin."""
        return max((k + d for k, d in zip(self.kept, self.dropped, strict=True)), default=0)


@attrs.define(frozen=True, kw_only=True)
class Measure:
    """A field, and how its values lie."""

    name: str
    stage: str
    """Where it is first known."""
    histogram: Histogram
    count: int
    least: float
    median: float
    most: float
    threshold: Threshold | None = None

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """What a filter asks for comes first, then what is known of dropped tasks; bookkeeping last."""
        return (self.threshold is None, self.name.endswith(BOOKKEEPING), not any(self.histogram.dropped))


def measure_of(name: str, stage: str, values: Values, threshold: Threshold | None) -> Measure:
    """From all values, of which there is at least one."""
    ordered = sorted([*values.kept, *values.dropped])
    return Measure(
        name=name,
        stage=stage,
        histogram=histogram_of(values.kept, values.dropped, ordered, threshold),
        count=len(ordered),
        least=ordered[0],
        median=_at(ordered, 0.5),
        most=ordered[-1],
        threshold=threshold,
    )


def histogram_of(
    kept: Sequence[float], dropped: Sequence[float], ordered: Sequence[float], threshold: Threshold | None = None
) -> Histogram:
    """The axis has nearly all values and the threshold on it; where they span decades, it is one of logarithms."""
    bounds = [b for b in (threshold.least, threshold.most) if b is not None] if threshold else []
    low, high = _range(ordered, bounds)
    log = low > 0 and high / low > 1000 and _at(ordered, 0.5) < math.sqrt(low * high) * 4
    bins = _bins(ordered, low, high)
    if bins < BINS and not log:  # whole numbers: each in the middle of its bin
        low, high = low - 0.5, low - 0.5 + bins
    return Histogram(
        low=low,
        high=high,
        log=log,
        kept=_counts(kept, low, high, log, bins),
        dropped=_counts(dropped, low, high, log, bins),
        below=ordered[0] < low,
        above=ordered[-1] > high,
    )


def _range(ordered: Sequence[float], bounds: Iterable[float]) -> tuple[float, float]:
    low, high = ordered[0], ordered[-1]
    inner_low, inner_high = _at(ordered, 1 - TAIL), _at(ordered, TAIL)
    if high - inner_high > inner_high - inner_low > 0 and not (low > 0 and high / low > 1000):
        high = inner_high
    low, high = min([low, *bounds]), max([high, *bounds])
    return (low, high) if high > low else (low, low + 1.0)


def _bins(ordered: Sequence[float], low: float, high: float) -> int:
    whole = high - low < FEW and all(value == int(value) for value in ordered)
    return int(high - low) + 1 if whole and low == int(low) else BINS


def _counts(values: Iterable[float], low: float, high: float, log: bool, bins: int) -> tuple[int, ...]:
    counts = [0] * bins
    for value in values:
        place = int(_place(value, low, high, log) * bins)
        counts[min(bins - 1, max(0, place))] += 1
    return tuple(counts)


def _place(value: float, low: float, high: float, log: bool) -> float:
    if log:
        return math.log(max(value, low) / low) / math.log(high / low)
    return (value - low) / (high - low)


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
