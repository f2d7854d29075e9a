"""Kinds of video that users have: every clip holds exactly its frames, in time, upright, with its sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from video_help import cut, file_task, look, make_video

from hpcurate.testing import try_stage
from stages.video.probe import Probe

pytestmark = pytest.mark.video


def strides(path: Path, folder: Path, stride_s: float = 2.0) -> list[Any]:
    """Clips of two seconds."""
    outcome = cut(path, folder, method="stride", stride_s=stride_s, min_s=0.5)
    assert not outcome.failed, outcome.failed
    return outcome.tasks


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one key frame": {"gop": 500},
    "no sound": {"sound": None},
    "stereo at 48 kHz": {"sound": (48000, "stereo")},
    "5.1": {"sound": (48000, "5.1")},
    "8 kHz": {"sound": (8000, "mono")},
    "late sound": {"sound_from": 1.0},
    "late start": {"shift": 1.5},
    "mpeg4": {"codec": "mpeg4"},
    "4:2:2": {"pix_fmt": "yuv422p"},
    "odd sides": {"width": 129, "height": 97, "pix_fmt": "yuv444p"},
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_clips_hold_every_frame_once(tmp_path: Path, kind: str) -> None:
    """96 numbered frames in two clips of 48: none lost, none twice, in order."""
    clips = strides(make_video(tmp_path / "v.mp4", **KINDS[kind]), tmp_path / "x")
    assert [look(clip.clip).numbers for clip in clips] == [list(range(48)), list(range(48, 96))]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_video_is_cut_upright(tmp_path: Path, rotation: int) -> None:
    """The clip has the size a player shows, and needs no rotation any more."""
    clips = strides(make_video(tmp_path / "v.mp4", rotation=rotation), tmp_path / "x")
    seen = look(clips[0].clip)
    assert seen.size == ((96, 128) if rotation in (90, 270) else (128, 96))
    assert seen.rotation == 0


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    """Frames stand where they stood, to the millisecond."""
    times = [0]
    for number in range(95):
        times.append(times[-1] + (20, 45, 70)[number % 3])
    (clip,) = strides(make_video(tmp_path / "v.mp4", times=times), tmp_path / "x", stride_s=30.0)
    seen = look(clip.clip)
    assert seen.numbers == list(range(96))
    assert [round(float(t - seen.times[0]) * 1000) for t in seen.times] == pytest.approx(times, abs=1)


def test_sound_is_as_long_as_the_picture(tmp_path: Path) -> None:
    """Within one AAC frame."""
    for clip in strides(make_video(tmp_path / "v.mp4"), tmp_path / "x"):
        seen = look(clip.clip)
        assert seen.audio_s is not None
        assert float(seen.audio_s) == pytest.approx(float(seen.video_s), abs=1024 / 44100)


def test_a_truncated_file_is_a_dead_letter(tmp_path: Path) -> None:
    """Half of a video, without its index at the end."""
    path = make_video(tmp_path / "v.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (letter,) = try_stage(Probe(), [file_task(path)], tmp_path / "x").failed
    assert "v.mp4: truncated" in letter["message"]
