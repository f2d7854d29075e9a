"""Measures of known pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.video.media.measures import is_frozen, laplacian_variance, measure_picture

pytestmark = pytest.mark.video


def flat(value: int) -> Any:
    """A picture of one grey."""
    return np.full((40, 60), value, np.uint8)


def test_known_pictures_have_known_measures() -> None:
    """A flat one has no edges, a chequered one has as many as there can be; black is black."""
    chequered = ((np.indices((40, 60)).sum(0) % 2) * 255).astype(np.uint8)
    assert (0.0, 16.0, True) == (
        measure_picture(flat(16)).sharpness,
        measure_picture(flat(16)).brightness,
        measure_picture(flat(16)).black,
    )
    assert 1020.0**2 == pytest.approx(laplacian_variance(chequered))
    assert (False, 127.5) == (measure_picture(chequered).black, measure_picture(chequered).brightness)
    assert 0.0 == laplacian_variance(np.zeros((2, 9), np.uint8))
    assert (True, False) == (is_frozen(flat(9), flat(9)), is_frozen(flat(9), flat(10)))
