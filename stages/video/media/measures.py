"""Measures of single pictures: sharp or blurred, bright or dark, black; and of two: frozen. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

BLACK_LEVEL = 32
"""Luma up to which a pixel counts as black (FFmpeg's blackdetect: a tenth of the range above 16)."""
BLACK_SHARE = 0.98
"""Share of black pixels at which a picture is black (FFmpeg's blackdetect)."""
FROZEN_LEVEL = 0.001 * 255
"""Mean difference of two pictures up to which they are the same (FFmpeg's freezedetect: -60 dB)."""


@attrs.define(frozen=True)
class PictureMeasures:
    """Measures of one picture."""

    sharpness: float
    """Variance of the Laplacian."""
    brightness: float
    """Mean luma, 0 … 255."""
    black: bool


def measure_picture(picture: Picture) -> PictureMeasures:
    """Measure a grey picture (height, width) uint8."""
    return PictureMeasures(
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
