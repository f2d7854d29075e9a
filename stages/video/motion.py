"""Motion: how much moves in a clip, and a filter on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcurate import Stage
from hpcurate.errors import StageError
from stages.video.samples import MEMORY_KEY, Samples
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from stages.video.samples import Picture

LEVELS, WINDOW, ROUNDS, POLY_N, POLY_SIGMA = 3, 15, 3, 5, 1.2
"""Settings of the optical flow, those of OpenCV's own example."""


class Motion(Stage[ClipTask, ClipTask]):
    """Score each clip's motion, and drop those below `threshold`.

    The score is the mean length of the dense optical flow (Farnebäck, SCIA 2003, as in OpenCV) over all
    pixels of all sampled pairs of pictures, in percent of the picture's diagonal per second: independent of
    resolution and frame rate. Data-Juicer's `video_motion_score_filter` is the model, with `relative`.
    """

    version = 1

    def __init__(self, threshold: float = 0.25) -> None:
        """Set the filter.

        Args:
            threshold: least motion in percent of the diagonal per second; 0 keeps everything. The
                default drops what stands still but for the grain of the camera.
        """
        self.threshold = threshold

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """Clips that move enough, with `motion` filled in."""
        kept = []
        for clip in tasks:
            clip.motion = round(motion_score(samples_of(clip)), 4)
            if clip.motion >= self.threshold:
                kept.append(clip)
            else:
                self.drop(clip, f"motion below {self.threshold:g}")
        return kept


def samples_of(clip: ClipTask) -> Samples:
    """What `Cut` took of the clip. Raises StageError when it is not there."""
    samples = clip.memory.get(MEMORY_KEY)
    if not isinstance(samples, Samples):
        raise StageError("no samples in task.memory: put Cut and this stage into one Chain")
    return samples


def motion_score(samples: Samples) -> float:
    """Mean motion in percent of the diagonal per second; 0 for a clip too short to have a pair."""
    speeds = [speed(*pair) for pair in samples.pairs]
    return sum(speeds) / len(speeds) if speeds else 0.0


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
