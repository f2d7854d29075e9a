"""More of the video pipeline: quality, frames, copying on key frames, the choice of an encoder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from shell import Shell
from video_help import make_video, number_of, split

from hpcurate import Chain
from hpcurate.stage import WorkerInfo
from hpcurate.testing import Outcome, try_stage
from stages.video import gpu
from stages.video.cut import Cut
from stages.video.frames import Frames
from stages.video.media.decode import VideoError
from stages.video.media.measures import is_frozen, laplacian_variance, look_at
from stages.video.media.stream_copy import Keys, Piece, piece_of, why_not
from stages.video.motion import Motion
from stages.video.preview import Preview
from stages.video.quality import Quality
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video


def clips_of(path: Path, folder: Path, **options: Any) -> list[ClipTask]:
    """Clips of a video, by stride of a second unless told otherwise."""
    given: dict[str, Any] = {"method": "stride", "stride_s": 1.0, "min_s": 0.1, "max_s": 60.0, **options}
    return split(path, folder, **given)


def pictures(path: str) -> list[int]:
    """Numbers of the frames in a file."""
    with av.open(path) as opened:
        return [number_of(frame.to_ndarray(format="gray")) for frame in opened.decode(video=0)]


# -- quality ----------------------------------------------------------------------------------------


def flat(value: int) -> Any:
    """A picture of one grey."""
    return np.full((40, 60), value, np.uint8)


def test_looks_of_known_pictures() -> None:
    """A flat one has no edges, a chequered one has as many as there can be; black is black."""
    chequered = ((np.indices((40, 60)).sum(0) % 2) * 255).astype(np.uint8)
    assert (0.0, 16.0, True) == (look_at(flat(16)).sharpness, look_at(flat(16)).brightness, look_at(flat(16)).black)
    assert 1020.0**2 == pytest.approx(laplacian_variance(chequered))
    assert (False, 127.5) == (look_at(chequered).black, look_at(chequered).brightness)
    assert 0.0 == laplacian_variance(np.zeros((2, 9), np.uint8))
    assert (True, False) == (is_frozen(flat(9), flat(9)), is_frozen(flat(9), flat(10)))


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({}, None), ({"min_sharpness": 5.0}, "blurred"), ({"min_brightness": 91}, "dark"), ({"max_brightness": 89}, "bright"),
        ({"max_black": 0.2}, "black"), ({"max_frozen": 0.1}, "frozen"),
        ({"min_sharpness": 4.0, "min_brightness": 90, "max_brightness": 90, "max_black": 0.25, "max_frozen": 0.5}, None),
    ],
)  # fmt: skip
def test_a_clip_out_of_bounds_is_dropped_with_one_word(bounds: dict[str, float], reason: str | None) -> None:
    """Bounds themselves are inside; without bounds everything is kept."""
    clip: Any = ClipTask.__new__(ClipTask)
    clip.sharpness, clip.brightness, clip.black, clip.frozen = 4.0, 90.0, 0.25, 0.5
    assert reason == Quality(**bounds).fault(clip)


def test_quality_is_measured_in_the_chain(tmp_path: Path) -> None:
    """A moving, textured video is sharp, not black, not frozen; a bound drops it with its word."""
    clips = clips_of(make_video(tmp_path / "v.mp4"), tmp_path)
    done = try_stage(Chain([Cut(preset="ultrafast"), Motion(0), Quality(), Preview()]), clips, tmp_path / "a")
    assert all(task.sharpness > 20 and task.black == 0 and task.frozen == 0 for task in done.tasks)
    assert all(40 < task.brightness < 220 for task in done.tasks)
    assert len(done.tasks) == len(clips) == 4
    dropped = try_stage(Chain([Cut(preset="ultrafast"), Quality(min_brightness=250)]), clips, tmp_path / "b")
    assert ["dark"] * 4 == [row["reason"] for row in dropped.dropped]


# -- copying ----------------------------------------------------------------------------------------

KEYS = Keys(tuple(range(0, 100, 10)), (0, 30, 60))


@pytest.mark.parametrize(
    ("start", "end", "piece"),
    [
        (0, 30, Piece(0, 30)), (0, 35, Piece(0, 30)), (35, 70, Piece(30, 60)), (30, 40, None), (70, 80, None),
        (65, 100, Piece(60, None)), (0, 100, Piece(0, None)),
    ],
)  # fmt: skip
def test_both_ends_move_back_to_a_key_frame(start: int, end: int, piece: Piece | None) -> None:
    """So neighbours meet; a clip without a key frame inside is its neighbour's."""
    assert piece == piece_of(KEYS, start, end)


def test_copied_clips_cover_the_video_once(tmp_path: Path) -> None:
    """Every frame is in one clip, none in two; nothing was encoded; the metadata say where it really is."""
    clips = clips_of(make_video(tmp_path / "v.mp4", gop=18), tmp_path)
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


def test_a_clip_without_a_key_frame_is_dropped(tmp_path: Path) -> None:
    """With that reason; its frames are in the clip before it."""
    done = copied(clips_of(make_video(tmp_path / "v.mp4", gop=60), tmp_path), tmp_path / "c")
    assert {"no key frame inside"} == {row["reason"] for row in done.dropped}
    assert list(range(96)) == [n for task in done.tasks for n in pictures(os.fspath(task.clip))]


def test_what_cannot_be_copied_is_encoded_or_fails(tmp_path: Path) -> None:
    """As `fallback` says."""
    clips = clips_of(make_video(tmp_path / "v.mpg", codec="mpeg2video", sound_codec="mp2"), tmp_path)
    assert {"libx264"} == {task.encoder for task in copied(clips, tmp_path / "a", preset="ultrafast").tasks}
    failed = copied(clips, tmp_path / "b", fallback=False).failed
    assert len(failed) == len(clips)
    assert "mpeg2video cannot be copied into MP4; stages.cut.fallback=true encodes it" in failed[0]["message"]
    clip = clips[0]
    clip.source_codec, clip.rotation = "h264", 90
    assert "turned" in str(why_not(clip, None))
    clip.rotation = 0
    assert ("vorbis" in str(why_not(clip, "vorbis")), why_not(clip, "aac")) == (True, None)


# -- encoders ---------------------------------------------------------------------------------------


def test_the_encoder_that_was_used_is_recorded(tmp_path: Path) -> None:
    """`auto` takes the GPU where one encodes, x264 elsewhere; only `cpu` is deterministic."""
    clips = clips_of(make_video(tmp_path / "v.mp4", frames=24), tmp_path)
    expected = "h264_nvenc" if gpu.nvenc_works() else "libx264"
    done = try_stage(Chain([Cut(encoder="auto", preset="ultrafast"), Motion(0)]), clips, tmp_path / "c")
    assert {expected} == {task.encoder for task in done.tasks}
    assert (True, False, False) == tuple(Cut(encoder=choice).deterministic for choice in ("cpu", "auto", "nvenc"))  # type: ignore[arg-type]


@pytest.mark.skipif(gpu.nvenc_works(), reason="this machine has a GPU that encodes")
def test_a_gpu_that_is_not_there_is_a_clear_error() -> None:
    """At setup, with what to use instead."""
    with pytest.raises(VideoError, match=r"stages\.cut\.encoder=nvenc: no GPU of this node encodes"):
        Cut(encoder="nvenc").setup(WorkerInfo(index=0, process=0, cpus=1))


# -- frames -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_frames_are_those_shown_at_their_times(tmp_path: Path, format: Any) -> None:
    """At 0, 1/fps, 2/fps … of each clip; the same bytes again."""
    from PIL import Image

    clips = clips_of(make_video(tmp_path / "v.mp4"), tmp_path, stride_s=2.0)
    done = try_stage(Frames(fps=4, format=format), clips, tmp_path / "a")
    assert [(k / 4) for k in range(8)] * 2 == [task.time_s for task in done.tasks]
    numbers = [number_of(np.asarray(Image.open(os.fspath(task.image)).convert("L"))) for task in done.tasks]
    assert [round(k * 6) for k in range(16)] == numbers
    again = try_stage(Frames(fps=4, format=format), clips, tmp_path / "b")
    assert [Path(t.image).read_bytes() for t in done.tasks] == [Path(t.image).read_bytes() for t in again.tasks]
    small = try_stage(Frames(fps=1, size=64, format=format), clips, tmp_path / "c").tasks[0]
    assert (64, 48) == (small.width, small.height) == Image.open(os.fspath(small.image)).size


def test_the_frames_pipeline_publishes_pictures(shell: Shell) -> None:
    """One folder a clip, a record beside each picture."""
    (shell.folder / "in").mkdir()
    make_video(shell.folder / "in" / "a [x] ü.mp4")
    shell.run(
        "+pipeline=frames",
        f"input={shell.folder / 'in'}",
        f"output={shell.folder / 'out'}",
        "stages.frames.fps=2",
        "stages.split.method=stride",
    )
    found = sorted((shell.folder / "out" / "frames").glob("*/*.jpg"))
    assert [f"{500 * k:08d}.jpg" for k in range(8)] == [path.name for path in found]
    record = json.loads(Path(f"{found[3]}.json").read_text())
    assert (1.5, "a [x] ü.mp4", 128) == (record["time_s"], record["source"], record["width"])


ODD = [
    b"a b.mp4",
    b"it's.mp4",
    b"new\nline.mp4",
    b"-dash.mp4",
    b"date=2024-01-01/x,y.MP4",
    b"[z]/{q}.mp4",
    b"\xff\xfe.mp4",
    b"u\xc3\xbc.mp4",
]


def test_odd_names_go_through_every_stage_and_verb(shell: Shell) -> None:
    """Videos that are fine but for their names: each gives its clips, and every verb can speak of it."""
    folder = shell.folder / "it's [in] date=1"
    folder.mkdir()
    data = make_video(shell.folder / "v.mp4", frames=48, width=64, height=64).read_bytes()
    for name in ODD:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    words = ["+pipeline=video", f"input={folder}", f"output={shell.folder}/o'u t", "stages.split.method=stride"]
    shell.run(*words, "stages.cut.preset=ultrafast", "stages.motion.threshold=0")
    sources = {json.loads(p.read_text())["source_video"] for p in (shell.folder / "o'u t").rglob("metas/**/*.json")}
    assert sources == {
        os.fsdecode(n).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for n in ODD
    }
    for verb in (
        ["status"],
        ["watch", "--once"],
        ["why"],
        ["explain"],
        ["runs"],
        ["compare", "latest", "latest"],
        ["logs"],
    ):
        shell.type(*verb)
    for name in ODD:
        assert "attempt 1" in shell.type("logs", f"--task={os.fsdecode(name)}").stdout
    assert "nothing to do" in shell.run(*words, "stages.cut.preset=ultrafast", "stages.motion.threshold=0").stderr
