"""How a clip is cut into windows, which frames of each are seen, and that these are the frames which are taken."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hpcurate.errors import ConfigError
from stages.language.asks import Generate
from stages.language.caption import Caption
from stages.language.engine import Engine
from stages.language.prompts import CAPTION
from stages.language.windowed import AsksOfWindows, Seen
from stages.language.windows import Window, Windows, check_frames

SPANS = {
    0: [],
    3: [],
    4: [(0, 3)],
    127: [(0, 126)],
    128: [(0, 127)],
    255: [(0, 254)],
    256: [(0, 255)],
    257: [(0, 256)],
    383: [(0, 382)],
    384: [(0, 255), (256, 383)],
    511: [(0, 255), (256, 510)],
    512: [(0, 255), (256, 511)],
    639: [(0, 255), (256, 638)],
    640: [(0, 255), (256, 511), (512, 639)],
}
"""Frames of a clip → first and last frame of its windows."""


@pytest.mark.parametrize("frames", SPANS)
def test_windows_cover_a_clip(frames: int) -> None:
    """256 frames each; 128 or more that are left are a window, fewer extend the last; under 4 there is none."""
    assert SPANS[frames] == Windows().spans(frames)


@pytest.mark.parametrize(
    ("frames", "remainder"), [(4, 1), (4, 4), (10, 1), (10, 10), (100, 30), (100, None), (5, None)]
)
def test_no_frame_is_in_two_windows_or_in_none(frames: int, remainder: int | None) -> None:
    """Whatever is asked for, and however long the clip is; by default half a window may stand alone."""
    check_frames(Windows(frames=frames, remainder=remainder))
    for length in range(4, 700):
        spans = Windows(frames=frames, remainder=remainder).spans(length)
        assert list(range(length)) == [n for first, last in spans for n in range(first, last + 1)]
        assert all(last - first + 1 >= 4 for first, last in spans)


@pytest.mark.parametrize("options", [{}, {"fps": 0.1}, {"fps": 60.0}, {"most": 4}, {"most": 5}])
def test_an_even_number_of_frames_is_seen_from_the_first_to_the_last(options: dict[str, Any]) -> None:
    """At least 4, at most `most`, in order, none twice."""
    windows = Windows(**options)
    for length, rate in product([4, 5, 6, 7, 24, 127, 256, 383, 20_000], [0.5, 10.0, 24.0, 29.97, 60.0, 240.0]):
        numbers = windows.pictures((1000, 1000 + length - 1), rate)
        assert 0 == len(numbers) % 2
        assert 4 <= len(numbers) <= max(4, min(windows.most, length))
        assert (1000, 1000 + length - 1) == (numbers[0], numbers[-1])
        assert numbers == sorted(set(numbers))


def test_two_a_second_are_seen() -> None:
    """256 frames at 24 a second are 10.7 s: 22, or 20, where the number is to be even."""
    assert 22 == len(Windows().pictures((0, 255), 24))
    assert 16 == len(Windows().pictures((0, 255), 32))
    assert [0, 85, 170, 255] == Windows(most=5).pictures((0, 255), 24)


def test_a_remainder_longer_than_a_window_is_refused() -> None:
    """It could not be met."""
    with pytest.raises(ConfigError, match=r"windows\.remainder: 129: expected windows\.frames=128 at most"):
        check_frames(Windows(frames=128, remainder=129))


class Looking(AsksOfWindows):
    """Sees, and asks nobody."""

    def __init__(self, windows: Windows) -> None:
        self.model, self.windows = Engine("nobody", Generate(), {}, {}), windows


def numbers_of(seen: Seen) -> list[int]:
    """The numbers that the frames of a made video show."""
    from video_help import number_of

    return [number_of(picture.mean(axis=2)) for picture in seen.pictures]


@pytest.mark.video
@pytest.mark.parametrize(("fps", "rest"), [(24, {}), (30, {"shift": 1.5}), (25, {"codec": "mpeg4"})])
def test_the_picture_of_a_frame_is_that_frame(tmp_path: Path, fps: int, rest: dict[str, Any]) -> None:
    """Each frame of a made video shows its number; the times are those of the frames, since the window's first."""
    pytest.importorskip("av", reason="the video extra is not installed")
    from video_help import cut_clips, make_video

    video = make_video(tmp_path / "v.mp4", frames=200, fps=fps, sound=None, **rest)
    (clip,) = cut_clips(video, tmp_path / "cut", method="stride", stride_s=60.0, min_s=0.1)
    looking = Looking(Windows(frames=64, remainder=32, fps=fps / 5))
    seen = looking.seen(clip)
    assert [(0, 63), (64, 127), (128, 199)] == [(w.start_frame, w.end_frame) for w in clip.windows]
    for one in seen:
        span = (one.window.start_frame, one.window.end_frame)
        wanted = looking.windows.pictures(span, fps)
        assert wanted == numbers_of(one)
        assert [(n - wanted[0]) / fps for n in wanted] == pytest.approx(one.times_s, abs=2e-3)
    again = looking.seen(clip)
    assert [numbers_of(one) for one in seen] == [numbers_of(one) for one in again]


@pytest.mark.parametrize("prompt", ["default", "short", "Which colours are there?"])
def test_an_image_is_not_asked_how_the_camera_moves(prompt: str) -> None:
    """Images were asked to be described as videos, unless one knew of `prompt=image`; what is one's own is asked as it is."""
    caption = Caption(prompt=prompt)
    window = Window(start_frame=0, end_frame=0)
    image, video = (caption.question(None, Seen(window, [], times)).prompt for times in ((), (0.0,)))  # type: ignore[arg-type]
    assert CAPTION.get(prompt, prompt) == video
    assert "video" not in image
    assert ("image" in image) == (prompt in CAPTION)
