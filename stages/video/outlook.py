"""What a filter can say of a clip before it has seen all of it: `Cut` encodes nothing that will be dropped.

`Cut` asks the filters that follow it, while it decodes a clip and takes its samples. What it is told only decides
whether the clip is encoded: each filter keeps and drops in its own `process`, by all of the samples, as ever.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import attrs

from hpcurate import Stage, Task
from stages.video.media.sampling import PairSampling, Samples, Sampling
from stages.video.samples import UsesSamples

PAIRS_KEY = "video.pairs"
"""Where values of a clip's pairs are in `task.memory`, by sampling and function."""
SLACK = 1e-9
"""Relative margin of a bound: far more than the rounding of a sum, far less than a digit that anybody sets."""


class Outlook(Enum):
    """What will become of a clip."""

    OPEN = "open"
    KEPT = "kept"
    DROPPED = "dropped"


class Filter(UsesSamples):
    """A stage that drops clips by what it samples, and can say before the end of a clip what it will do."""

    def outlook(self, clip: Task, taken: Mapping[Sampling, Samples], *, ended: bool) -> Outlook:
        """What `process` will do with a clip of which these samples were taken; OPEN unless that is certain.

        `ended`: there are no more; then it is certain. Asked each time that samples are added, until it is certain.
        """
        raise NotImplementedError


def leading_filters(followers: Iterable[Stage[Any, Any]]) -> list[Filter]:
    """The filters that come first: one behind another kind of stage may drop what that stage needs a file of."""
    return [stage for stage in itertools.takewhile(_foresees, followers) if isinstance(stage, Filter)]


def _foresees(stage: Stage[Any, Any]) -> bool:
    """Whether its outlook is about its own `process`, and not about one that a subclass has replaced."""
    if not isinstance(stage, Filter):
        return False
    defined = [[name in vars(kind) for kind in inspect.getmro(type(stage))] for name in ("outlook", "process")]
    outlook, process = (places.index(True) for places in defined)
    return outlook <= process


class Watch:
    """What the filters together say of one clip while it is decoded."""

    def __init__(self, filters: Iterable[Filter], clip: Task) -> None:
        self._open, self._clip = list(filters), clip
        self.outlook = Outlook.OPEN if self._open else Outlook.KEPT

    def look(self, taken: Mapping[Sampling, Samples], *, ended: bool = False) -> None:
        """Ask those that were not certain."""
        if self.outlook is not Outlook.OPEN:
            return
        said = [(one, self._of(one, taken, ended)) for one in self._open]
        self._open = [one for one, outlook in said if outlook is Outlook.OPEN]
        self.outlook = together(outlook for _, outlook in said)

    def _of(self, one: Filter, taken: Mapping[Sampling, Samples], ended: bool) -> Outlook:
        try:
            return one.outlook(self._clip, taken, ended=ended)
        except Exception:  # it fails again in its own `process`, under its own name
            return Outlook.KEPT


# -- what is certain --------------------------------------------------------------------------------


def mean(values: Sequence[float]) -> float:
    """0 where there is none. Pure."""
    return sum(values) / len(values) if values else 0.0


def mean_range(values: Sequence[float], to_come: int, most: float = math.inf) -> tuple[float, float]:
    """Between what the mean will be when up to `to_come` values are added, each 0 … `most`. Pure."""
    if not to_come:
        return mean(values), mean(values)
    total, count = sum(values), len(values) + to_come
    return total / count * (1 - SLACK), (total + to_come * most) / count * (1 + SLACK)


def within(between: tuple[float, float], digits: int, least: float | None, most: float | None) -> Outlook:
    """Whether a value from this range, rounded, will be within the bounds, which are inside themselves. Pure."""
    low, high = (round(value, digits) for value in between)
    if (least is not None and high < least) or (most is not None and low > most):
        return Outlook.DROPPED
    if (least is None or low >= least) and (most is None or high <= most):
        return Outlook.KEPT
    return Outlook.OPEN


def together(outlooks: Iterable[Outlook]) -> Outlook:
    """Of something that is dropped for any of several reasons. Pure."""
    seen = set(outlooks)
    return next((one for one in (Outlook.DROPPED, Outlook.OPEN) if one in seen), Outlook.KEPT)


# -- values of pairs, each computed once ------------------------------------------------------------


@attrs.define
class PairValues:
    """A value for each pair of pictures, in order, computed when both were taken."""

    values: list[float] = attrs.field(factory=list)
    """Of the pairs that did not fall on one and the same frame."""
    seen: int = 0
    """Pairs that were looked at."""
    to_come: int = 0
    """Pairs that may still be taken, if the clip is as long as it says."""


def pair_values(
    clip: Task, sampling: PairSampling, samples: Samples, value: Callable[[float, Any, Any], float]
) -> PairValues:
    """The values of all pairs taken so far; those of earlier calls for this clip are not computed again.

    `value` is given the seconds between, the picture before and the one after.
    """
    known: PairValues = clip.memory.setdefault(PAIRS_KEY, {}).setdefault((sampling, value), PairValues())
    times = sampling.pair_times(samples.duration_s)
    for first, second in times[known.seen :]:
        if second not in samples.by_time:
            break
        known.seen += 1
        before, after = samples.by_time[first], samples.by_time[second]
        if after.at_s > before.at_s:
            known.values.append(value(after.at_s - before.at_s, before.picture, after.picture))
    known.to_come = len(times) - known.seen
    return known
