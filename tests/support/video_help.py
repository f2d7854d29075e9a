"""Small videos whose every frame shows its number, and the means to read them back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import av
import numpy as np

from hpcurate import Chain, File, FileTask, stable_id
from hpcurate.testing import Outcome, try_stage
from stages.video.cut import Cut
from stages.video.probe import Probe
from stages.video.split import Split
from stages.video.tasks import ClipTask, VideoTask

BITS = 8
"""Frame numbers stand in the picture as this many squares in its first row, light for 1."""


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """A grey picture (height, width) that moves and holds its number."""
    x = (np.arange(width)[None, :] + 3 * number) % 64
    picture = np.broadcast_to(64 + x, (height, width)).astype(np.uint8).copy()
    side = width // BITS
    for bit in range(BITS):
        picture[: height // 2, bit * side : (bit + 1) * side] = 235 if number >> bit & 1 else 16
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a grey picture holds."""
    height, width = picture.shape
    side = width // BITS
    squares = [picture[4 : height // 2 - 4, b * side + 2 : (b + 1) * side - 2].mean() for b in range(BITS)]
    return sum(1 << bit for bit, light in enumerate(squares) if light > 126)


@attrs.define(kw_only=True)
class Recipe:
    """What a numbered video is like."""

    frames: int = 96
    numbers: Sequence[int] | None = None
    """What each frame shows, the same number being a picture that stands still; None counts up."""
    width: int = 128
    height: int = 96
    fps: int = 24
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    """Degrees counter-clockwise, as FFmpeg counts."""
    times: Sequence[int] | None = None
    """Timestamps in thousandths of a second; None for an even rate."""
    sound: tuple[int, str] | None = (44100, "mono")
    """Sample rate and layout."""
    sound_codec: str = "aac"
    sound_from: float = 0.0
    """Seconds at which the sound sets in."""
    pixel_aspect: Fraction | None = None
    picture: bool = True
    gop: int = 30
    shift: float = 0.0
    """Seconds that all timestamps are moved by."""


def make_video(path: Path, recipe: Recipe | None = None, **changes: Any) -> Path:
    """Write a numbered video with a tone of 440 Hz; the suffix of `path` chooses the container."""
    recipe = attrs.evolve(recipe or Recipe(), **changes)
    with av.open(os.fspath(path), "w") as out:
        video = _video_stream(out, recipe) if recipe.picture else None
        audio = None
        if recipe.sound:
            audio = out.add_stream(recipe.sound_codec, rate=recipe.sound[0], layout=recipe.sound[1])
        if video is not None:
            for frame in _frames(recipe):
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if audio is not None:
            for block in _tone(recipe):
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return path


def _video_stream(out: Any, recipe: Recipe) -> Any:
    stream = out.add_stream(recipe.codec, rate=recipe.fps)
    stream.width, stream.height, stream.pix_fmt = recipe.width, recipe.height, recipe.pix_fmt
    stream.codec_context.gop_size = recipe.gop
    stream.codec_context.thread_count = 1
    if recipe.codec != "mpeg4":
        stream.codec_context.time_base = Fraction(1, 1000) if recipe.times else Fraction(1, recipe.fps)
    if recipe.pixel_aspect:
        stream.codec_context.sample_aspect_ratio = recipe.pixel_aspect
    if recipe.rotation:
        stream.set_display_rotation(recipe.rotation)
    return stream


def _frames(recipe: Recipe) -> Any:
    unit = Fraction(1, 1000) if recipe.times else Fraction(1, recipe.fps)
    shown = recipe.numbers or range(len(recipe.times) if recipe.times else recipe.frames)
    for number, shows in enumerate(shown):
        frame = av.VideoFrame.from_ndarray(numbered(shows, recipe.width, recipe.height), format="gray")
        frame = frame.reformat(format=recipe.pix_fmt)
        frame.pts = (recipe.times[number] if recipe.times else number) + round(recipe.shift / unit)
        frame.time_base = unit
        yield frame


def _tone(recipe: Recipe) -> Any:
    assert recipe.sound
    rate, layout = recipe.sound
    seconds = recipe.times[-1] / 1000 if recipe.times else len(recipe.numbers or range(recipe.frames)) / recipe.fps
    channels = av.AudioLayout(layout).nb_channels
    t = np.arange(round((seconds - recipe.sound_from) * rate)) / rate
    wave = np.repeat((0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32), channels)
    frame = av.AudioFrame.from_ndarray(wave[None], format="flt", layout=layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = round((recipe.sound_from + recipe.shift) * rate)
    yield frame


@attrs.define
class Seen:
    """What a video file holds when all of it is decoded."""

    numbers: list[int]
    times: list[Fraction]
    """Seconds of each frame."""
    size: tuple[int, int]
    rotation: int
    video_s: Fraction
    """Length of the picture as the file says."""
    audio_s: Fraction | None
    audio: tuple[int, str] | None
    sound: np.ndarray | None
    """All samples of the first channel."""


def look(path: str | os.PathLike[str]) -> Seen:
    """Decode a whole file."""
    with av.open(os.fspath(path)) as file:
        video = file.streams.video[0]
        frames = list(file.decode(video))
        seen = Seen(
            numbers=[number_of(frame.reformat(format="gray").to_ndarray()) for frame in frames],
            times=[frame.pts * frame.time_base for frame in frames],
            size=(frames[0].width, frames[0].height),
            rotation=frames[0].rotation,
            video_s=video.duration * video.time_base,
            audio_s=None,
            audio=None,
            sound=None,
        )
    with av.open(os.fspath(path)) as file:
        if file.streams.audio:
            audio = file.streams.audio[0]
            seen.audio_s = audio.duration * audio.time_base
            seen.audio = (audio.rate, audio.layout.name)
            seen.sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio)])
    return seen


def file_task(path: Path, source: str | None = None) -> FileTask:
    """The task that a source would make of a file."""
    name = source or path.name
    return FileTask(id=stable_id(name), source=name, path=os.fspath(path), size=path.stat().st_size, mtime_ns=0)


def probe(path: Path, folder: Path) -> VideoTask:
    """The probed video; the test fails if it does not probe."""
    outcome = try_stage(Probe(), [file_task(path)], folder / "probe")
    assert outcome.failed == []
    return outcome.tasks[0]


def split(path: Path, folder: Path, **parameters: Any) -> list[ClipTask]:
    """The spans of a video."""
    outcome = try_stage(Split(**parameters), [probe(path, folder)], folder / "split")
    assert outcome.failed == []
    return outcome.tasks


def short_clips(path: Path, folder: Path, **options: Any) -> list[ClipTask]:
    """The spans of a video: a second each, unless the options say otherwise."""
    return split(path, folder, **{"method": "stride", "stride_s": 1.0, "min_s": 0.1, "max_s": 60.0, **options})


def cut(path: Path, folder: Path, *more: Any, stage: Cut | None = None, **parameters: Any) -> Outcome:
    """The clips of a video, after any `more` members of the chain."""
    clips = split(path, folder, **parameters)
    return try_stage(Chain([stage or Cut(preset="ultrafast"), *more]), clips, folder / "cut")


def cut_clips(path: Path, folder: Path, **parameters: Any) -> list[ClipTask]:
    """The clips of a video, for trials of other stages: their files are named by absolute paths."""
    clips: list[ClipTask] = cut(path, folder, **parameters).tasks
    for clip in clips:
        path = os.fspath(clip.clip or "")
        clip.clip = File(path, path)
    return clips
