"""Find scene cuts as PySceneDetect's content detector does, in frames that something else decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import VideoFrame

WIDTH = 256
"""Pixels that frames are reduced to in width before they are compared, as PySceneDetect does by itself."""


class CutFinder:
    """Collects the numbers of frames that start a scene.

    A frame starts one when the mean change of hue, saturation and lightness (each 0…255) against the
    frame before reaches `threshold` (PySceneDetect, ContentDetector with its weights and without a minimum length:
    `spans.limit_lengths` has the rule for short scenes). Scaling is done here, with a fixed size, one algorithm and one
    thread, so that the result does not depend on the machine.
    """

    def __init__(self, threshold: float) -> None:
        from av.video.reformatter import VideoReformatter

        self.cuts: list[int] = []
        self._threshold, self._number, self._size = threshold, 0, (0, 0)
        self._before: Any = None
        self._reformatter = VideoReformatter()  # keeps the scaler's tables from frame to frame

    def add(self, frame: VideoFrame) -> None:
        """Compare the next frame, in display order, with the one before."""
        picture = self._small(frame)
        score = 0.0 if self._before is None else change(self._before, picture)
        if score >= self._threshold:
            self.cuts.append(self._number)
        self._before = picture
        self._number += 1

    def _small(self, frame: VideoFrame) -> Any:
        """Hue, saturation and lightness of the frame, (height, width, 3) uint8."""
        import cv2
        from av.video.reformatter import Interpolation

        if not self._number:
            self._size = reduced(frame.width, frame.height)
        width, height = self._size
        area = Interpolation.AREA
        small = self._reformatter.reformat(frame, width, height, "bgr24", interpolation=area, threads=1)
        return cv2.cvtColor(small.to_ndarray(), cv2.COLOR_BGR2HSV)


def change(before: Any, after: Any) -> float:
    """Mean over the three planes of the mean difference of their pixels, 0 … 255; sums of integers, so exact."""
    import cv2

    height, width, _ = after.shape
    hue, saturation, lightness, _ = cv2.sumElems(cv2.absdiff(before, after))
    pixels = float(height * width)
    return (hue / pixels + saturation / pixels + lightness / pixels) / 3.0


def reduced(width: int, height: int) -> tuple[int, int]:
    """Size at which frames are compared; small ones stay as they are."""
    if width <= WIDTH:
        return width, height
    return WIDTH, max(1, round(height * WIDTH / width))
