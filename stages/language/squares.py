"""How large a vision-language model sees a picture. Pure but for the resizing, which is Pillow's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture


@attrs.define(frozen=True)
class FitSquares:
    """Makes a picture as large as a model that cuts it into squares sees it: the `reduce` of a sampling."""

    side: int
    """Pixels of a square; 1: any size will do."""
    least: int
    """Pixels of the picture; a smaller one is enlarged."""
    most: int
    """Pixels of the picture; a larger one is reduced."""

    def __call__(self, picture: Picture) -> Picture:
        """The RGB picture (height, width, 3), uint8, by Pillow: bicubic and antialiased."""
        import numpy as np
        from PIL import Image

        height, width = self.size(*picture.shape[:2])
        if (height, width) == picture.shape[:2]:
            return picture
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in whole squares, of nearly the same shape, as Qwen-VL has them.

        A long strip, which the library refuses, has one square across.
        """
        high, wide = (round(pixels / self.side) * self.side for pixels in (height, width))
        if high * wide > self.most:
            shrink = math.sqrt(height * width / self.most)
            return self._squares(height / shrink, math.floor), self._squares(width / shrink, math.floor)
        if high * wide < self.least:
            grow = math.sqrt(self.least / (height * width))
            return self._squares(height * grow, math.ceil), self._squares(width * grow, math.ceil)
        return high, wide

    def _squares(self, pixels: float, whole: Callable[[float], int]) -> int:
        return max(1, whole(pixels / self.side)) * self.side
