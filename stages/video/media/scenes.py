"""Find scene cuts with PySceneDetect's content detector, fed with our own decoded frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame

WIDTH = 256
"""Pixels that frames are reduced to in width before they are compared, as PySceneDetect does by itself."""


class CutFinder:
    """Collects the numbers of frames that start a scene.

    A frame starts one when the mean change of hue, saturation and lightness (each 0…255) against the
    frame before reaches `threshold` (PySceneDetect, ContentDetector). The detector's own minimum length
    is off: `spans.limit_lengths` has the rule for short scenes. Scaling is done here, with a fixed size, one
    algorithm and one thread, so that the result does not depend on the machine.
    """

    def __init__(self, threshold: float) -> None:
        from scenedetect.detectors import ContentDetector

        self.cuts: list[int] = []
        self._detector = ContentDetector(threshold=threshold, min_scene_len=0)
        self._number = 0
        self._size = (0, 0)

    def add(self, frame: VideoFrame) -> None:
        """Compare the next frame, in display order, with the one before."""
        from av.video.reformatter import Interpolation
        from scenedetect import FrameTimecode

        if not self._number:
            self._size = reduced(frame.width, frame.height)
        width, height = self._size
        small = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA, threads=1)
        timecode = FrameTimecode(self._number, fps=25.0)  # a frame number; the rate does not matter
        found = self._detector.process_frame(timecode, small.to_ndarray())
        self.cuts.extend(cut.frame_num for cut in found)
        self._number += 1


def reduced(width: int, height: int) -> tuple[int, int]:
    """Size at which frames are compared; small ones stay as they are."""
    if width <= WIDTH:
        return width, height
    return WIDTH, max(1, round(height * WIDTH / width))
