"""Quality: sharpness, brightness, black and frozen pictures of each clip, and a filter on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from hpcurate import Stage, Task
from stages.video.media.measures import is_frozen, measure_picture
from stages.video.media.sampling import PairSampling, Samples, Sampling
from stages.video.outlook import Filter, Outlook, mean, mean_range, pair_values, together, within
from stages.video.samples import a_share, above_zero, samples_of
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

PICTURES = Sampling(fps=1, size=640, enlarge=False, colour="gray", reduce=measure_picture)
"""What sharpness, brightness and black are measured on: blur shows only in pictures of some size."""
PAIR_SIDE = 160
"""Pixels of the longer side of the pairs that are compared for what is frozen."""


@attrs.define(frozen=True)
class Measure:
    """A measure of a clip: the mean of values that are 0 … `most`, with so many decimal places."""

    field: str
    most: float
    digits: int


SHARPNESS, BRIGHTNESS = Measure("sharpness", math.inf, 3), Measure("brightness", 255, 3)
BLACK, FROZEN = Measure("black", 1, 4), Measure("frozen", 1, 4)
MEASURES = (SHARPNESS, BRIGHTNESS, BLACK, FROZEN)


@attrs.define(frozen=True)
class Bound:
    """What a measure has to be within; bounds themselves are inside."""

    word: str
    """Why a clip is dropped that is not."""
    measure: Measure
    least: float | None
    most: float | None

    @property
    def is_set(self) -> bool:
        """Whether there is any."""
        return self.least is not None or self.most is not None

    def allows(self, value: float | None) -> bool:
        """Whether a clip with this measure is kept; one without it always is."""
        if value is None:
            return True
        return self.broken_by(value) is None

    def broken_by(self, value: float) -> float | None:
        """The bound that this measure is beyond, if any."""
        if self.least is not None and not value >= self.least:
            return self.least
        return self.most if self.most is not None and not value <= self.most else None


class Quality(Filter, Stage[ClipTask, ClipTask]):
    """Measure sharpness, brightness, black and frozen share of each clip; drop what is out of bounds.

    Sharpness, brightness and black are measured on a picture a second, longer side 640 pixels at most; frozen on
    neighbouring pictures at `frozen_fps`. Every bound may be null: then it is only measured.
    """

    version = 1

    def __init__(
        self,
        min_sharpness: float | None = None,
        min_brightness: float | None = None,
        max_brightness: float | None = None,
        max_black: float | None = None,
        max_frozen: float | None = None,
        frozen_fps: float = 4.0,
    ) -> None:
        """Set the bounds.

        Args:
            min_sharpness: least mean variance of the Laplacian; below about 20 a picture is blurred.
            min_brightness: least mean luma, 0 … 255.
            max_brightness: greatest mean luma, 0 … 255.
            max_black: greatest share of black pictures, 0 … 1.
            max_frozen: greatest share of pairs of pictures between which nothing changes, 0 … 1.
            frozen_fps: pictures per second of the pairs.
        """
        self.min_sharpness, self.min_brightness, self.max_brightness = min_sharpness, min_brightness, max_brightness
        self.max_black, self.max_frozen = a_share("max_black", max_black), a_share("max_frozen", max_frozen)
        self.pairs = PairSampling(fps=above_zero("frozen_fps", frozen_fps), size=PAIR_SIDE, colour="gray")

    def samplings(self) -> Sequence[Sampling]:
        """Pictures that are measured one by one, and pairs that are compared."""
        return [PICTURES, self.pairs]

    def outlook(self, clip: Task, taken: Mapping[Sampling, Samples], *, ended: bool) -> Outlook:
        """Certain once no picture that is to come can move a mean over its bound; without bounds at once."""
        return together(self._outlook(bound, clip, taken, ended) for bound in self.bounds() if bound.is_set)

    def _outlook(self, bound: Bound, clip: Task, taken: Mapping[Sampling, Samples], ended: bool) -> Outlook:
        values, to_come = self.values(bound.measure, clip, taken)
        if ended or not to_come:
            between = mean_range(values, 0)
            return within(between, bound.measure.digits, bound.least, bound.most) if values else Outlook.KEPT
        if not values:
            return Outlook.OPEN
        return within(mean_range(values, to_come, bound.measure.most), bound.measure.digits, bound.least, bound.most)

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Clips within the bounds, with their measures filled in."""
        kept = []
        for clip in tasks:
            self.measure(clip)
            bound = self.fault(clip)
            if bound:
                value, field = getattr(clip, bound.measure.field), bound.measure.field
                self.drop(clip, bound.word, value=value, threshold=bound.broken_by(value), measure=field)
            else:
                kept.append(clip)
        return kept

    def measure(self, clip: ClipTask) -> None:
        """Fill in the measures; those that have no picture stay None."""
        taken = {sampling: samples_of(clip, sampling) for sampling in self.samplings()}
        for measure in MEASURES:
            values, _ = self.values(measure, clip, taken)
            if values:
                setattr(clip, measure.field, round(mean(values), measure.digits))

    def values(self, measure: Measure, clip: Task, taken: Mapping[Sampling, Samples]) -> tuple[list[float], int]:
        """(what the measure is the mean of, how many more there may be)."""
        if measure is FROZEN:
            pairs = pair_values(clip, self.pairs, taken[self.pairs], _frozen)
            return pairs.values, pairs.to_come
        samples = taken[PICTURES]
        values = [getattr(picture, measure.field) for picture in samples.every_frame()]
        return values, len(PICTURES.times(samples.duration_s)) - len(samples.by_time)

    def bounds(self) -> list[Bound]:
        """In the order in which a clip is dropped for them."""
        return [
            Bound("black", BLACK, None, self.max_black),
            Bound("frozen", FROZEN, None, self.max_frozen),
            Bound("dark", BRIGHTNESS, self.min_brightness, None),
            Bound("bright", BRIGHTNESS, None, self.max_brightness),
            Bound("blurred", SHARPNESS, self.min_sharpness, None),
        ]

    def fault(self, clip: ClipTask) -> Bound | None:
        """What the clip is dropped for; None if it is kept."""
        return next((bound for bound in self.bounds() if not bound.allows(getattr(clip, bound.measure.field))), None)


def _frozen(gap_s: float, before: Picture, after: Picture) -> bool:
    return is_frozen(before, after)
