"""The filters that bring a stored picture into the shape of its clip."""

from __future__ import annotations

import pytest

from stages.video.media.picture import filters

pytestmark = pytest.mark.video


@pytest.mark.parametrize(
    ("given", "wanted", "rotation", "pix_fmt", "names"),
    [
        ((640, 360), (640, 360), 0, "yuv420p", []),
        ((641, 361), (640, 360), 0, "yuv420p", ["crop"]),
        ((640, 360), (360, 640), 90, "yuv420p", ["transpose"]),
        ((640, 360), (640, 360), 180, "yuv420p", ["hflip", "vflip"]),
        ((720, 576), (1046, 576), 0, "yuv420p", ["scale", "setsar"]),
        ((640, 360), (640, 360), 0, "yuv420p10le", ["scale", "format", "setsar"]),
    ],
)
def test_pictures_are_touched_no_more_than_needed(
    given: tuple[int, int], wanted: tuple[int, int], rotation: int, pix_fmt: str, names: list[str]
) -> None:
    """Nothing for a picture that fits."""
    assert [name for name, _ in filters(given, wanted, rotation, pix_fmt)] == names
