"""What single pictures look like: sharp or blurred, bright or dark, black. Pure functions over arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from stages.video.samples import Picture

BLACK_LEVEL = 32
"""Luma up to which a pixel counts as black (FFmpeg's blackdetect: a tenth of the range above 16)."""
BLACK_SHARE = 0.98
"""Share of black pixels from which on a picture is black (FFmpeg's blackdetect)."""
FROZEN_LEVEL = 0.001 * 255
"""Mean difference of two pictures up to which they are the same (FFmpeg's freezedetect: -60 dB)."""


@attrs.define(frozen=True)
class Look:
    """Measures of one picture."""

    sharpness: float
    """Variance of the Laplacian."""
    brightness: float
    """Mean luma, 0 … 255."""
    black: bool


def look_at(picture: Picture) -> Look:
    """Measure a grey picture (height, width) uint8."""
    return Look(
        laplacian_variance(picture), float(picture.mean()), bool((picture <= BLACK_LEVEL).mean() >= BLACK_SHARE)
    )


def laplacian_variance(picture: Picture) -> float:
    """Variance of the 4-neighbour Laplacian (Pech-Pacheco et al., ICPR 2000, as in `cv2.Laplacian(...).var()`).

    The border, where a neighbour is missing, is left out; 0 for a picture without an inside.
    """
    import numpy as np

    if min(picture.shape) < 3:
        return 0.0
    p = picture.astype(np.int16)
    inner = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    return float(inner.var())


def is_frozen(before: Picture, after: Picture) -> bool:
    """Whether nothing moved between two grey pictures of one size."""
    import numpy as np

    return float(np.abs(before.astype(np.int16) - after.astype(np.int16)).mean()) <= FROZEN_LEVEL
