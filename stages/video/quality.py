"""Quality: sharpness, brightness, black and frozen pictures of each clip, and a filter on them."""

from __future__ import annotations

from collections.abc import Sequence

from hpcurate import Stage
from stages.video.media.measures import is_frozen, measure_picture
from stages.video.media.sampling import PairSampling, Sampling
from stages.video.samples import UsesSamples, above_zero, samples_of
from stages.video.tasks import ClipTask

PICTURES = Sampling(fps=1, size=640, enlarge=False, colour="gray", reduce=measure_picture)
"""What sharpness, brightness and black are measured on: blur shows only in pictures of some size."""
PAIR_SIDE = 160
"""Pixels of the longer side of the pairs that are compared for what is frozen."""


class Quality(UsesSamples, Stage[ClipTask, ClipTask]):
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
        self.max_black, self.max_frozen = max_black, max_frozen
        self.pairs = PairSampling(fps=above_zero("frozen_fps", frozen_fps), size=PAIR_SIDE, colour="gray")

    def samplings(self) -> Sequence[Sampling]:
        """Pictures that are measured one by one, and pairs that are compared."""
        return [PICTURES, self.pairs]

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Clips within the bounds, with their measures filled in."""
        kept = []
        for clip in tasks:
            self.measure(clip)
            reason = self.fault(clip)
            if reason:
                self.drop(clip, reason)
            else:
                kept.append(clip)
        return kept

    def measure(self, clip: ClipTask) -> None:
        """Fill in the measures; those that have no picture stay None."""
        pictures = samples_of(clip, PICTURES).every_frame()
        if pictures:
            clip.sharpness = round(sum(picture.sharpness for picture in pictures) / len(pictures), 3)
            clip.brightness = round(sum(picture.brightness for picture in pictures) / len(pictures), 3)
            clip.black = round(sum(picture.black for picture in pictures) / len(pictures), 4)
        pairs = list(self.pairs.pairs(samples_of(clip, self.pairs)))
        if pairs:
            clip.frozen = round(sum(is_frozen(before, after) for _, before, after in pairs) / len(pairs), 4)

    def fault(self, clip: ClipTask) -> str | None:
        """Why the clip is dropped, in one word; None if it is kept."""
        bounds = (
            ("black", clip.black, None, self.max_black),
            ("frozen", clip.frozen, None, self.max_frozen),
            ("dark", clip.brightness, self.min_brightness, None),
            ("bright", clip.brightness, None, self.max_brightness),
            ("blurred", clip.sharpness, self.min_sharpness, None),
        )
        for word, value, least, most in bounds:
            if value is not None and ((least is not None and value < least) or (most is not None and value > most)):
                return word
        return None
