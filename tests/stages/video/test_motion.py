"""The motion score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.video.motion import speed

pytestmark = pytest.mark.video


def plaid(shift: int) -> Any:
    """A smooth pattern (90, 160), moved to the right by whole pixels."""
    x, y = np.arange(160)[None, :] - shift, np.arange(90)[:, None]
    return (128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7)).astype(np.uint8)


def test_motion_is_in_percent_of_the_diagonal_per_second() -> None:
    """Two pixels in a quarter of a second, on a diagonal of 183.6 pixels, are 4.36 % per second."""
    assert speed(0.25, plaid(0), plaid(2)) == pytest.approx(100 * 2 / np.hypot(160, 90) / 0.25, rel=0.1)


def test_what_stands_still_has_no_motion() -> None:
    """But for rounding."""
    assert speed(0.25, plaid(0), plaid(0)) == pytest.approx(0, abs=1e-3)
