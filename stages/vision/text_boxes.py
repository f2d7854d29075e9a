"""Where text is in pictures, and which of it stands still: from the maps of a text detector to boxes. Pure.

The detector is of the kind DB (Liao et al., Real-time Scene Text Detection with Differentiable Binarization, AAAI
2020): it finds the cores of lines of text, and a box around each core is enlarged by what the training had shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Boxes = NDArray[np.float32]
    """(boxes, 4 corners, x and y), as shares of the picture's width and height."""

PIXEL, BOX = 0.3, 0.5
"""Least value of a pixel of text, and least mean of a box."""
UNCLIP = 1.6
"""A box grows by this times its area by its circumference, on each side."""
LEAST_SIDE = 3
"""Pixels of the shorter side of a core at least; 2 more of the box."""
MOST_BOXES = 1000
SAME = 0.9
"""Boxes of two pictures are one if they overlap by this much (intersection over union)."""


def boxes_of(text: NDArray[np.float32], tallest: float) -> Boxes:
    """Boxes of the lines of text in a map (height, width) of how likely each pixel is text.

    No line is higher than `tallest` of the map's shorter side: a scene of few contours is to these networks, which were
    also trained with pictures of single lines, one line that fills it.
    """
    import cv2
    import numpy as np

    mask = cv2.dilate((text > PIXEL).astype(np.uint8), np.ones((2, 2), np.uint8))
    height, width = text.shape
    most = tallest * min(height, width)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = [box for outline in outlines[:MOST_BOXES] if (box := _box_of(text, outline, most)) is not None]
    corners = np.asarray(found, np.float32).reshape(-1, 4, 2) / np.asarray([width, height], np.float32)
    return np.clip(corners, 0, 1)


def _box_of(text: NDArray[np.float32], outline: Any, most: float) -> Any:
    """Corners of the box around a core; None for one that is too small, too high, or too unsure."""
    import cv2

    centre, (width, height), angle = cv2.minAreaRect(outline)
    if min(width, height) < LEAST_SIDE or _mean_within(text, cv2.boxPoints((centre, (width, height), angle))) < BOX:
        return None
    grown = UNCLIP * width * height / (2 * (width + height))
    if not LEAST_SIDE + 2 <= min(width, height) + 2 * grown <= most:
        return None
    return cv2.boxPoints((centre, (width + 2 * grown, height + 2 * grown), angle))


def _mean_within(text: NDArray[np.float32], corners: Any) -> float:
    import cv2
    import numpy as np

    left, top, width, height = cv2.boundingRect(corners.astype(np.int32))
    left, top = max(0, left), max(0, top)
    part = text[top : top + height, left : left + width]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], [1])
    return float(cv2.mean(part, mask)[0])


def overlay(pictures: Sequence[Boxes], needed: int, corner: float) -> list[Boxes]:
    """Of each picture the boxes that are also in others, in `needed` pictures in all, and in no corner.

    A corner is `corner` of the width by `corner` of the height; a box that lies within one is left out.
    """
    import numpy as np

    seen = [np.ones(len(boxes), int) for boxes in pictures]
    for first, boxes in enumerate(pictures):
        for second in range(first + 1, len(pictures)):
            same = overlaps(boxes, pictures[second]) >= SAME
            seen[first] += same.any(axis=1)
            seen[second] += same.any(axis=0)
    return [boxes[(times >= needed) & ~in_corner(boxes, corner)] for boxes, times in zip(pictures, seen)]


def overlaps(some: Boxes, others: Boxes) -> NDArray[np.float32]:
    """Intersection over union of the upright frames of each two boxes: a row for each of the first."""
    import numpy as np

    (low, high), (others_low, others_high) = _frames(some), _frames(others)
    sides = np.minimum(high[:, None], others_high[None]) - np.maximum(low[:, None], others_low[None])
    common = sides.clip(0).prod(axis=2)
    areas = (high - low).prod(axis=1)[:, None] + (others_high - others_low).prod(axis=1)[None]
    shares: NDArray[np.float32] = common / np.maximum(areas - common, 1e-12)
    return shares


def in_corner(boxes: Boxes, corner: float) -> NDArray[np.bool_]:
    """Which boxes lie within one of the four corners."""
    low, high = _frames(boxes)
    at_edge: NDArray[np.bool_] = ((high <= corner) | (low >= 1 - corner)).all(axis=1)
    return at_edge


def _frames(boxes: Boxes) -> tuple[Any, Any]:
    """(least, greatest) x and y of each box."""
    return boxes.min(axis=1), boxes.max(axis=1)


def covered(boxes: Boxes, width: int, height: int) -> float:
    """Share of a picture's area that the boxes cover together."""
    import cv2
    import numpy as np

    mask = np.zeros((height, width), np.uint8)
    for corners in boxes:
        cv2.fillConvexPoly(mask, np.round(corners * (width - 1, height - 1)).astype(np.int32), [1])
    return float(mask.mean())
