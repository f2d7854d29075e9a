"""Cutting by copying packets: clips begin and end on key frames."""

from __future__ import annotations

import itertools
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_help import make_video, number_of, short_clips

from hpcurate import Chain
from hpcurate.testing import Outcome, try_stage
from stages.video.cut import Cut
from stages.video.media.stream_copy import FrameTimes, Piece, piece_of, why_not_copyable
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.tasks import ClipTask, clip_id

pytestmark = pytest.mark.video


def pictures(path: str) -> list[int]:
    """Numbers of the frames in a file."""
    with av.open(path) as opened:
        return [number_of(frame.to_ndarray(format="gray")) for frame in opened.decode(video=0)]


TIMES = FrameTimes(tuple(range(0, 100, 10)), (0, 30, 60))


@pytest.mark.parametrize(
    ("start", "end", "piece"),
    [
        (0, 30, Piece(0, 30)), (0, 35, Piece(0, 30)), (35, 70, Piece(30, 60)), (30, 40, None), (70, 80, None),
        (65, 100, Piece(60, None)), (0, 100, Piece(0, None)),
    ],
)  # fmt: skip
def test_both_ends_move_back_to_a_key_frame(start: int, end: int, piece: Piece | None) -> None:
    """So neighbours meet; a clip without a key frame inside is its neighbour's."""
    assert piece == piece_of(TIMES, start, end, 100)


@pytest.mark.parametrize(
    ("start", "end", "piece"),
    [
        (35, 70, Piece(30, 60)), (0, 45, Piece(0, 45, copyable=False)), (45, 70, Piece(45, 60, copyable=False)),
        (45, 50, Piece(45, 50, copyable=False)), (45, 100, Piece(45, None, copyable=False)), (62, 68, None),
    ],
)  # fmt: skip
def test_an_end_without_a_key_frame_within_reach_stays(start: int, end: int, piece: Piece | None) -> None:
    """One key frame in 30 s made one clip of all scenes, without a word."""
    assert piece == piece_of(TIMES, start, end, 10)


@given(st.sets(st.integers(1, 99)), st.sets(st.integers(1, 99)), st.integers(0, 100))
def test_neighbours_meet(keys: set[int], cuts: set[int], reach: int) -> None:
    """Whatever moves and whatever stays: nothing twice, nothing lost."""
    found = FrameTimes(tuple(range(100)), (0, *sorted(keys)))
    ends = [0, *sorted(cuts), 100]
    pieces = [piece_of(found, start, end, reach) for start, end in itertools.pairwise(ends)]
    kept = [(piece.start, piece.end if piece.end is not None else 100) for piece in pieces if piece]
    assert list(range(100)) == [time for start, end in kept for time in range(start, end)]


def test_copied_clips_cover_the_video_once(tmp_path: Path) -> None:
    """Every frame is in one clip, none in two; nothing was encoded; the metadata say where it really is."""
    clips = short_clips(make_video(tmp_path / "v.mp4", gop=18), tmp_path)
    done = copied(clips, tmp_path / "c")
    numbers = [pictures(os.fspath(task.clip)) for task in done.tasks]
    assert list(range(96)) == [n for one in numbers for n in one]
    assert [task.frames for task in done.tasks] == [len(one) for one in numbers]
    assert [(task.start_frame, task.end_frame) for task in done.tasks] == [(one[0], one[-1] + 1) for one in numbers]
    assert {"copy"} == {task.encoder for task in done.tasks}
    assert [task.start_s for task in done.tasks] == pytest.approx([one[0] / 24 for one in numbers], abs=1e-3)
    assert all(task.has_audio and task.sha256 for task in done.tasks)
    again = copied(clips, tmp_path / "d")
    assert [task.sha256 for task in done.tasks] == [task.sha256 for task in again.tasks]


def copied(clips: list[ClipTask], folder: Path, **options: Any) -> Outcome:
    """Cut by copying."""
    return try_stage(Chain([Cut(mode="copy", **options), Motion(0), Preview()]), clips, folder)


def test_a_clip_whose_span_moved_has_an_id_of_its_own(tmp_path: Path) -> None:
    """The id stayed that of the span that was asked for: one id, two contents, one for each mode."""
    clips = short_clips(make_video(tmp_path / "v.mp4", gop=18), tmp_path)
    done = copied(clips, tmp_path / "c").tasks
    assert {clip.id for clip in clips} != {clip.id for clip in done}
    assert [(task.id,) if task.id == clip.id else task.parents for clip, task in zip(clips, done)] == [
        (clip.id,) for clip in clips
    ]
    spans = [tuple(Fraction(one, 24) for one in (task.start_frame, task.end_frame)) for task in done]
    assert [clip_id(task.source, *span) for task, span in zip(done, spans)] == [task.id for task in done]


def test_clips_without_key_frames_in_reach_are_encoded(tmp_path: Path) -> None:
    """Each scene stays a clip of its own where key frames are rare, and every frame is in one of them."""
    clips = short_clips(make_video(tmp_path / "v.mp4", gop=96), tmp_path)
    done = copied(clips, tmp_path / "c", max_shift_s=0.5, preset="ultrafast")
    assert len(clips) == len(done.tasks)
    assert [clip.id for clip in clips] == [task.id for task in done.tasks]
    assert {"libx264"} == {task.encoder for task in done.tasks}
    assert list(range(96)) == [n for task in done.tasks for n in pictures(os.fspath(task.clip))]
    failed = copied(clips, tmp_path / "d", max_shift_s=0.5, fallback=False).failed
    assert "no key frame within max_shift_s=0.5 s" in failed[0]["message"]


def test_a_clip_without_a_key_frame_is_dropped(tmp_path: Path) -> None:
    """With that reason; its frames are in the clip before it."""
    done = copied(short_clips(make_video(tmp_path / "v.mp4", gop=60), tmp_path), tmp_path / "c")
    assert {"no key frame inside"} == {row["reason"] for row in done.dropped}
    assert list(range(96)) == [n for task in done.tasks for n in pictures(os.fspath(task.clip))]


def test_what_cannot_be_copied_is_encoded_or_fails(tmp_path: Path) -> None:
    """As `fallback` says."""
    clips = short_clips(make_video(tmp_path / "v.mpg", codec="mpeg2video", sound_codec="mp2"), tmp_path)
    assert {"libx264"} == {task.encoder for task in copied(clips, tmp_path / "a", preset="ultrafast").tasks}
    failed = copied(clips, tmp_path / "b", fallback=False).failed
    assert len(failed) == len(clips)
    assert "mpeg2video cannot be copied into MP4; fallback=true encodes it" in failed[0]["message"]


@pytest.mark.parametrize(
    ("codec", "rotation", "sound", "word"),
    [("h264", 0, "aac", None), ("h264", 0, None, None), ("wmv3", 0, None, "wmv3"), ("h264", 90, None, "rotated"),
     ("h264", 0, "vorbis", "vorbis")],
)  # fmt: skip
def test_what_cannot_be_copied(codec: str, rotation: int, sound: str | None, word: str | None) -> None:
    """Codecs that MP4 does not hold, and pictures that would need a rotation."""
    reason = why_not_copyable(codec, rotation, sound)
    assert reason is None if word is None else reason is not None and word in reason
