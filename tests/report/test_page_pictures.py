"""Pictures of the page: strips of what a stage or a source has, within limits; never an error."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from video_help import make_video

from hpcurate.report.page import pictures
from hpcurate.report.page.pictures import FRAMES, HEIGHT, Limits, picture_of, pictures_of

pytestmark = pytest.mark.video


def strip(path: Path, **row: Any) -> tuple[int, tuple[int, int]] | None:
    """(frames, size in pixels) of the picture of a file."""
    picture = picture_of(str(path), {"path": str(path), **row})
    if picture is None:
        return None
    with Image.open(io.BytesIO(base64.b64decode(picture.data.partition(",")[2]))) as image:
        return picture.frames, image.size


def test_an_animation_is_a_strip(tmp_path: Path) -> None:
    """A few of its frames beside each other, as high as all pictures."""
    frames = [Image.new("RGB", (480, 252), (n * 10, 0, 0)) for n in range(20)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    assert (FRAMES, (FRAMES * 240, HEIGHT)) == strip(tmp_path / "a.webp")


def test_an_image_is_one_frame_and_never_larger(tmp_path: Path) -> None:
    """Whatever its colours are."""
    Image.new("RGBA", (64, 36)).save(tmp_path / "a.png")
    Image.new("L", (2000, 100)).save(tmp_path / "b.JPG", "JPEG")
    assert (1, (64, 36)) == strip(tmp_path / "a.png")
    assert (1, (280, 100)) == strip(tmp_path / "b.JPG")


def test_a_video_shows_the_span_of_its_task(tmp_path: Path) -> None:
    """Of a source that is what the task is a span of; of a file of its own any picture."""
    path = make_video(tmp_path / "a.mp4", frames=48, sound=None, gop=8)
    assert (1, (128, 96)) == strip(path, start_s=1.0, end_s=2.0)
    assert (1, (128, 96)) == strip(path)


def test_no_picture_is_better_than_one_of_another_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far from a key frame the page showed whatever it had decoded last: one picture for all clips of a video."""
    path = make_video(tmp_path / "a.mp4", frames=48, sound=None, gop=48)
    assert strip(path, start_s=1.0, end_s=2.0)
    monkeypatch.setattr(pictures, "MOST_DECODED", 5)
    assert strip(path, start_s=1.0, end_s=2.0) is None


def test_what_cannot_be_decoded_has_no_picture(tmp_path: Path) -> None:
    """Broken, gone, or not what its name says."""
    for name in ("a.png", "a.mp4"):
        (tmp_path / name).write_bytes(b"no picture")
        assert strip(tmp_path / name) is None
    assert strip(tmp_path / "gone.webp") is None


def test_without_pillow_small_images_are_embedded_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else."""
    monkeypatch.setattr(pictures, "can_draw", lambda: False)
    Image.new("RGB", (64, 36)).save(tmp_path / "a.png")
    Image.effect_noise((400, 400), 90).save(tmp_path / "large.png")
    picture = picture_of(str(tmp_path / "a.png"), {})
    assert picture is not None
    assert base64.b64decode(picture.data.partition(",")[2]) == (tmp_path / "a.png").read_bytes()
    assert picture_of(str(tmp_path / "large.png"), {}) is None
    assert picture_of(str(tmp_path / "a.mp4"), {}) is None


def test_all_pictures_together_have_limits(tmp_path: Path) -> None:
    """Of number, bytes and time; the first rows have theirs."""
    Image.new("RGB", (64, 36)).save(tmp_path / "a.png")
    rows = [(n, {"path": str(tmp_path / "a.png")}) for n in range(5)]
    assert [0, 1] == list(pictures_of(rows, "/nowhere", Limits(count=2)))
    assert [0] == list(pictures_of(rows, "/nowhere", Limits(bytes=1)))
    assert [] == list(pictures_of(rows, "/nowhere", Limits(seconds=-1)))
