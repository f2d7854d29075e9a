"""How fast a stage goes on, and how long it still takes. Pure."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import msgspec

WINDOW_S = 600.0
"""Rates are those of the last ten minutes."""


class Sample(msgspec.Struct, frozen=True):
    """How far a stage was at a moment."""

    at_s: float
    """Seconds of a monotonic clock."""
    shards_done: int
    progress: float | None = None
    """Share that was done, by weight."""


class SampleWindow:
    """The samples of the last ten minutes."""

    def __init__(self) -> None:
        self._samples: collections.deque[Sample] = collections.deque()

    def add(self, sample: Sample) -> tuple[Sample, ...]:
        """Take it in and forget what is too old; all samples, oldest first."""
        self._samples.append(sample)
        while self._samples[0].at_s < sample.at_s - WINDOW_S:
            self._samples.popleft()
        return tuple(self._samples)


def shards_per_second(samples: Sequence[Sample]) -> float | None:
    """Over the samples, oldest first; None until a shard has been committed between them."""
    if len(samples) < 2:
        return None
    seconds = samples[-1].at_s - samples[0].at_s
    shards = samples[-1].shards_done - samples[0].shards_done
    return shards / seconds if seconds > 0 and shards > 0 else None


def seconds_left(samples: Sequence[Sample]) -> float | None:
    """Until the stage is complete, if it goes on as over the samples; None until it has gone on between them."""
    known = [one for one in samples if one.progress is not None]
    if len(known) < 2:
        return None
    share, seconds = (known[-1].progress or 0.0) - (known[0].progress or 0.0), known[-1].at_s - known[0].at_s
    return (1.0 - (known[-1].progress or 0.0)) * seconds / share if share > 0 and seconds > 0 else None


def percent(share: float) -> str:
    """`42%`, rounded down: 100% is complete."""
    return f"{math.floor(share * 100)}%"
