"""The size in which a video is displayed: rotation and the shape of pixels."""

from __future__ import annotations

from fractions import Fraction

import pytest

from stages.video.probe import clockwise, displayed

pytestmark = pytest.mark.video


@pytest.mark.parametrize(("angle", "expected"), [(0, 0), (-90, 90), (90, 270), (180, 180), (-180, 180), (12, 0)])
def test_quarter_turns(angle: float, expected: int) -> None:
    """FFmpeg counts counter-clockwise; anything but quarter turns is ignored."""
    assert clockwise(angle) == expected


def test_displayed_size_has_square_pixels_and_the_rotation() -> None:
    """720×576 with pixels 16:11 wide is 1047×576 on a screen."""
    assert displayed(720, 576, Fraction(16, 11), 0) == (1047, 576)
    assert displayed(1920, 1080, None, 90) == (1080, 1920)
