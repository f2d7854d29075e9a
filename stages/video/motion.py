"""Motion: how much moves in a clip, and a filter on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpcurate import Stage, Task
from stages.video.media.sampling import PairSampling, Samples, Sampling
from stages.video.outlook import Filter, Outlook, mean, mean_range, pair_values, within
from stages.video.samples import above_zero, samples_of
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

LEVELS, WINDOW, ROUNDS, POLY_N, POLY_SIGMA = 3, 15, 3, 5, 1.2
"""Settings of the optical flow, those of OpenCV's own example."""
DIGITS = 4
"""Decimal places of the score."""
LONGER_SIDE = 160
"""Pixels of the pictures that motion is measured on."""


class Motion(Filter, Stage[ClipTask, ClipTask]):
    """Score each clip's motion, and drop those below `threshold`.

    The score is the mean length of the dense optical flow (Farnebäck, SCIA 2003, as in OpenCV) over all
    pixels of all sampled pairs of pictures, in percent of the picture's diagonal per second: independent of
    resolution and frame rate; 0 for a clip too short to have a pair. Data-Juicer's `video_motion_score_filter` is the
    model, with `relative`.
    """

    version = 1

    def __init__(self, threshold: float = 0.25, fps: float = 4.0) -> None:
        """Set the filter.

        Args:
            threshold: least motion in percent of the diagonal per second; 0 keeps everything. The
                default drops what stands still but for the grain of the camera.
            fps: pictures per second that motion is measured on.
        """
        self.threshold = threshold
        self.sampling = PairSampling(fps=above_zero("fps", fps), size=LONGER_SIDE, colour="gray")

    def samplings(self) -> Sequence[Sampling]:
        """Neighbouring pictures, small and grey."""
        return [self.sampling]

    def outlook(self, clip: Task, taken: Mapping[Sampling, Samples], *, ended: bool) -> Outlook:
        """Kept as soon as the motion so far is enough for the whole clip; what stands still is open until its end."""
        speeds = pair_values(clip, self.sampling, taken[self.sampling], speed)
        between = mean_range(speeds.values, 0 if ended else speeds.to_come)
        return within(between, DIGITS, self.threshold, None)

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Clips that move enough, with `motion` filled in."""
        kept = []
        for clip in tasks:
            speeds = pair_values(clip, self.sampling, samples_of(clip, self.sampling), speed)
            clip.motion = round(mean(speeds.values), DIGITS)
            if clip.motion >= self.threshold:
                kept.append(clip)
            else:
                below = f"motion below {self.threshold:g}"
                self.drop(clip, below, value=clip.motion, threshold=self.threshold, measure="motion")
        return kept


def speed(gap_s: float, before: Picture, after: Picture) -> float:
    """Mean flow between two grey pictures (height, width), in percent of their diagonal per second."""
    import cv2
    import numpy as np

    height, width = before.shape
    flow = cv2.calcOpticalFlowFarneback(  # type: ignore[call-overload]
        before, after, None, 0.5, LEVELS, WINDOW, ROUNDS, POLY_N, POLY_SIGMA, 0
    )
    pixels = float(np.mean(np.hypot(flow[..., 0], flow[..., 1])))
    return 100 * pixels / math.hypot(width, height) / gap_s
