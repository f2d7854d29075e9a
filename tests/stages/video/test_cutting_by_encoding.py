"""Cutting: what a clip holds does not depend on its container, its neighbours or its batch."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from video_help import cut, file_task, look, make_video, number_of, probe, split

from hpcurate import Chain
from hpcurate.testing import try_stage
from stages.video.cut import Cut
from stages.video.frames import Frames
from stages.video.media.decode import frames_decoded
from stages.video.motion import Motion
from stages.video.passes import passes
from stages.video.preview import Preview
from stages.video.split import Split
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video
FAST = Cut(preset="ultrafast")


CONTAINERS: dict[str, dict[str, Any]] = {
    "v.mkv": {},
    "v.ts": {"shift": 10.0},
    "v.webm": {"codec": "libvpx-vp9", "sound": (48000, "stereo"), "sound_codec": "libopus"},
    "v.avi": {"sound_codec": "libmp3lame"},  # no display times, and reordered frames
    "v.mpg": {"codec": "mpeg2video", "sound_codec": "mp2"},
    "v.flv": {},
    "v.mov": {"codec": "mpeg4"},
    "hevc.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
}


@pytest.mark.parametrize(("name", "changes"), CONTAINERS.items())
def test_every_container_is_cut_at_the_same_frames(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    """Four seconds in two clips; each holds its frames, in order."""
    outcome = cut(make_video(tmp_path / name, **changes), tmp_path, method="stride", stride_s=2.0, min_s=0.5)
    assert outcome.failed == []
    assert [number for clip in outcome.tasks for number in look(clip.clip).numbers] == list(range(96))
    assert len(outcome.tasks) == 2


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.mpg", "v.flv", "v.avi"])
def test_bytes_do_not_depend_on_the_batch(tmp_path: Path, name: str) -> None:
    """All clips in one pass, or each alone after a seek, in any order."""
    changes = CONTAINERS.get(name, {})
    clips = split(make_video(tmp_path / name, **changes), tmp_path, method="stride", stride_s=0.5, min_s=0.4)
    together = try_stage(FAST, clips, tmp_path / "a", batch_size=0).tasks
    random.Random(5).shuffle(clips)
    alone = try_stage(FAST, clips, tmp_path / "b", batch_size=1).tasks
    assert len(together) == 8
    assert {c.id: c.sha256 for c in together} == {c.id: c.sha256 for c in alone}


def test_sound_stays_with_its_picture(tmp_path: Path) -> None:
    """A tone that sets in at 2.5 s is heard half a second into the clip that starts at 2 s, and not before."""
    outcome = cut(make_video(tmp_path / "v.mp4", sound_from=2.5), tmp_path, method="stride", stride_s=2.0)
    silent, sounding = (look(clip.clip) for clip in outcome.tasks)
    assert silent.sound is not None
    assert sounding.sound is not None
    assert sounding.audio is not None
    assert np.abs(silent.sound).max() < 0.01
    assert np.argmax(np.abs(sounding.sound) > 0.05) / sounding.audio[0] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("given", "suffix", "codec", "expected"),
    [
        ((22050, "stereo"), "mp4", "aac", (22050, "stereo")),
        ((48000, "5.1"), "mp4", "aac", (48000, "5.1")),
        ((48000, "7.1"), "mp4", "aac", (48000, "stereo")),
        ((48000, "3.0"), "mkv", "flac", (48000, "stereo")),
        ((37800, "mono"), "mkv", "pcm_f32le", (48000, "mono")),
    ],
)
def test_sound_is_kept_as_far_as_aac_goes(
    tmp_path: Path, given: tuple[int, str], suffix: str, codec: str, expected: tuple[int, str]
) -> None:
    """Rates that AAC lacks become 48 kHz; what is not mono, stereo or 5.1 becomes stereo."""
    video = make_video(tmp_path / f"v.{suffix}", sound=given, sound_codec=codec)
    (clip,) = cut(video, tmp_path, threshold=255.0).tasks
    assert look(clip.clip).audio == expected


@pytest.mark.parametrize(("counter_clockwise", "quarters"), [(-90, -1), (90, 1), (180, 2)])
def test_pixels_are_turned_the_right_way(tmp_path: Path, counter_clockwise: int, quarters: int) -> None:
    """Turned back, the clip shows the stored pictures."""
    import av

    (clip,) = cut(make_video(tmp_path / "v.mp4", rotation=counter_clockwise), tmp_path, threshold=255.0).tasks
    with av.open(os.fspath(clip.clip)) as file:
        pictures = [frame.reformat(format="gray").to_ndarray() for frame in file.decode(video=0)]
    assert [number_of(np.rot90(picture, -quarters)) for picture in pictures] == list(range(96))


def test_a_name_of_any_bytes_is_cut(tmp_path: Path) -> None:
    """Undecodable in UTF-8."""
    made = make_video(tmp_path / "v.mp4")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 %d 'q'.mp4"))
    made.rename(odd)
    outcome = cut(odd, tmp_path, threshold=255.0)
    assert outcome.failed == []
    assert len(outcome.tasks) == 1


def test_overlapping_clips_take_further_passes() -> None:
    """Within a pass they are sorted and do not overlap."""
    clips = [clip("b", 0, 5), clip("a", 4, 8), clip("a", 5, 9), clip("a", 0, 4)]
    assert [[(c.path, c.start_pts) for c in group] for group in passes(clips)] == [
        [("a", 0), ("a", 4)],
        [("a", 5)],
        [("b", 0)],
    ]


def test_one_chain_decodes_each_frame_once(tmp_path: Path) -> None:
    """Cut, motion and preview together; with probe and split twice the frames, not one more."""
    path = make_video(tmp_path / "counted.mp4")
    frames_decoded.clear()
    clips = split(path, tmp_path, threshold=255.0)
    assert frames_decoded["counted.mp4"] == 96
    chain = Chain([FAST, Motion(threshold=0), Preview()])
    assert try_stage(chain, clips, tmp_path / "chain").failed == []
    assert frames_decoded["counted.mp4"] == 2 * 96


def test_a_worker_of_the_stages_that_decode_has_one_core() -> None:
    """With two, one was idle for a third of the time: decoder and encoder take turns (`benchmarks/video.py`)."""
    assert [1.0] * 3 == [kind.resources.cpus for kind in (Split, Cut, Frames)]


def test_stride_decodes_nothing(tmp_path: Path) -> None:
    """Spans come from the timestamps of the packets."""
    video = probe(make_video(tmp_path / "still.mp4"), tmp_path)
    frames_decoded.clear()
    assert len(try_stage(Split(method="stride", stride_s=2.0), [video], tmp_path / "split").tasks) == 2
    assert sum(frames_decoded.values()) == 0


def test_a_damaged_middle_is_named_or_survived(tmp_path: Path) -> None:
    """Bytes overwritten inside the pictures: clips or a dead letter that names the file, never a crash."""
    path = make_video(tmp_path / "hurt.mp4", gop=12)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + 400] = random.Random(1).randbytes(400)
    path.write_bytes(bytes(data))
    outcome = try_stage(Split(threshold=255.0), [probe(path, tmp_path)], tmp_path / "split")
    assert len(outcome.tasks) + len(outcome.failed) >= 1
    assert all("hurt.mp4: " in row["message"] and row["error"] == "VideoError" for row in outcome.failed)


def test_the_source_of_a_task_is_only_a_name(tmp_path: Path) -> None:
    """Ids follow `source`, not the place of the file."""
    path = make_video(tmp_path / "v.mp4", frames=60)
    ids = set()
    for number, source in enumerate(("one/v.mp4", "one/v.mp4", "two/v.mp4")):
        from stages.video.probe import Probe

        probed = try_stage(Probe(), [file_task(path, source)], tmp_path / f"p{number}").tasks
        ids |= {c.id for c in try_stage(Split(threshold=255.0), probed, tmp_path / f"s{number}").tasks}
    assert len(ids) == 2


def clip(path: str, start: int, end: int) -> ClipTask:
    """A clip of which only the span matters."""
    return ClipTask(
        id=f"{path}-{start}",
        source=path,
        path=path,
        start_s=start,
        end_s=end,
        start_pts=start,
        end_pts=end,
        time_base_num=1,
        time_base_den=1,
        start_frame=start,
        end_frame=end,
        width=2,
        height=2,
        fps_num=1,
        fps_den=1,
        source_width=2,
        source_height=2,
        source_codec="h264",
    )
