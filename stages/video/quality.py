"""Quality: how clips look, and a filter on it."""

from __future__ import annotations

from hpcurate import Stage
from stages.video.looks import is_frozen
from stages.video.motion import samples_of
from stages.video.samples import Samples
from stages.video.tasks import ClipTask


class Quality(Stage[ClipTask, ClipTask]):
    """Measure sharpness, brightness, black and frozen share of each clip; drop what is out of bounds.

    Measured on the pictures that `Cut` took: one a second, longer side 640 pixels at most, for how they
    look; neighbours at Cut's `motion_fps` for what is frozen. Every bound may be null: then it is only measured.
    """

    version = 1

    def __init__(
        self,
        min_sharpness: float | None = None,
        min_brightness: float | None = None,
        max_brightness: float | None = None,
        max_black: float | None = None,
        max_frozen: float | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            min_sharpness: least mean variance of the Laplacian; below about 20 a picture is blurred.
            min_brightness: least mean luma, 0 … 255.
            max_brightness: greatest mean luma, 0 … 255.
            max_black: greatest share of black pictures, 0 … 1.
            max_frozen: greatest share of pairs of pictures between which nothing changes, 0 … 1.
        """
        self.min_sharpness, self.min_brightness, self.max_brightness = min_sharpness, min_brightness, max_brightness
        self.max_black, self.max_frozen = max_black, max_frozen

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Clips within the bounds, with their measures filled in."""
        kept = []
        for clip in tasks:
            measure(clip, samples_of(clip))
            reason = self.fault(clip)
            if reason:
                self.drop(clip, reason)
            else:
                kept.append(clip)
        return kept

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


def measure(clip: ClipTask, samples: Samples) -> None:
    """Fill in the measures; those that have no picture stay None."""
    looks, pairs = samples.looks, samples.pairs
    if looks:
        clip.sharpness = round(sum(look.sharpness for look in looks) / len(looks), 3)
        clip.brightness = round(sum(look.brightness for look in looks) / len(looks), 3)
        clip.black = round(sum(look.black for look in looks) / len(looks), 4)
    if pairs:
        clip.frozen = round(sum(is_frozen(before, after) for _, before, after in pairs) / len(pairs), 4)
