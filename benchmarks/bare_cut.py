"""What `benchmarks/video.py` is compared with: the same spans, encoded alike, by bare loops in one process a core.

Equal: the spans, x264's preset, crf, threads and `cpu-independent`, the threads of the decoder, AAC's bits. Not equal:
nothing is checked, counted or hashed, no timestamps are repaired, sound is not padded with silence and may end a
block early. ffmpeg, if there is one, has its own build of x264 and another version of the decoder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import av

from stages.video.media.decode import DECODE_THREADS
from stages.video.media.encode import CONTAINER, Encoding, encoder_options
from stages.video.tasks import ClipTask

ENCODING = Encoding()
"""The defaults of `Cut`."""


@attrs.define(frozen=True)
class Span:
    """What is cut."""

    path: str
    start: int
    end: int
    """Ticks of `unit` seconds."""
    unit: Fraction
    fps: Fraction
    size: tuple[int, int]

    @classmethod
    def of(cls, clip: ClipTask) -> Span:
        """That of a clip."""
        return cls(clip.path, clip.start_pts, clip.end_pts, clip.time_base, clip.fps, (clip.width, clip.height))

    @property
    def work(self) -> float:
        """About in proportion to the seconds that it takes."""
        return float((self.end - self.start) * self.unit * self.fps) * self.size[0] * self.size[1]


def options(independent: bool) -> dict[str, str]:
    """x264's, with or without `cpu-independent`."""
    return {key: value for key, value in encoder_options(ENCODING).items() if independent or key != "x264-params"}


def with_pyav(span: Span, target: str, independent: bool = True) -> None:
    """Decode and encode in one loop."""
    with av.open(span.path) as given, av.open(target, "w", format="mp4", options=CONTAINER) as made:
        picture: Any = given.streams.video[0]
        picture.thread_type, picture.codec_context.thread_count = "AUTO", DECODE_THREADS
        sound: Any = given.streams.audio[0] if given.streams.audio else None
        encoder = _encoder(made, span, independent)
        other: Any = None
        if sound:
            other = made.add_stream("aac", rate=sound.rate, layout=sound.layout.name)
            other.bit_rate = ENCODING.audio_bitrate * sound.channels
        given.seek(span.start, stream=picture)
        for frame in _frames(given, [one for one in (picture, sound) if one], span):
            if isinstance(frame, av.AudioFrame):
                frame.pts = None
                made.mux(other.encode(frame))
            else:
                frame.pts, frame.time_base, frame.pict_type = frame.pts - span.start, span.unit, 0
                made.mux(encoder.encode(frame))
        for stream in (one for one in (encoder, other) if one):
            made.mux(stream.encode(None))


def _encoder(made: Any, span: Span, independent: bool) -> Any:
    stream = made.add_stream("libx264", rate=span.fps)
    stream.width, stream.height = span.size
    stream.pix_fmt, stream.codec_context.time_base = "yuv420p", span.unit
    stream.codec_context.thread_count, stream.options = ENCODING.threads, options(independent)
    return stream


def _frames(given: Any, streams: Sequence[Any], span: Span) -> Any:
    """Those of the span, up to the first picture after it."""
    for packet in given.demux(*streams):
        for frame in packet.decode():
            at = frame.pts * frame.time_base if frame.time_base else frame.pts * span.unit
            if at >= span.end * span.unit and isinstance(frame, av.VideoFrame):
                return
            if span.start * span.unit <= at < span.end * span.unit:
                yield frame


def with_ffmpeg(span: Span, target: str) -> None:
    """The same by the command."""
    encoder = [part for key, value in options(True).items() for part in (f"-{key}", value)]
    seconds = [f"{float(one * span.unit):.6f}" for one in (span.start, span.end - span.start)]
    command = [
        "ffmpeg", "-v", "error", "-y", "-threads", str(DECODE_THREADS), "-ss", seconds[0], "-i", span.path,
        "-t", seconds[1], "-c:v", "libx264", "-threads", str(ENCODING.threads), *encoder, "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-b:a", str(2 * ENCODING.audio_bitrate), "-movflags", "+faststart", target,
    ]  # fmt: skip
    subprocess.run(command, check=True)


def seconds_of(spans: Sequence[Span], folder: Path, processes: int, independent: bool = True) -> float:
    """Of bare loops in so many processes, their start included; the longest span first."""
    began = time.perf_counter()
    with get_context("spawn").Pool(processes) as pool:
        work = partial(_to_folder, folder=os.fspath(folder), independent=independent)
        pool.map(work, _longest_first(spans), chunksize=1)
    return time.perf_counter() - began


def ffmpeg_seconds(spans: Sequence[Span], folder: Path, processes: int) -> float:
    """Of so many ffmpeg at a time; the longest span first."""
    began = time.perf_counter()
    with ThreadPoolExecutor(processes) as pool:
        numbered = list(_longest_first(spans))
        list(pool.map(lambda one: with_ffmpeg(one[1], os.fspath(folder / f"{one[0]}.mp4")), numbered))
    return time.perf_counter() - began


def has_ffmpeg() -> bool:
    """Whether there is one that has x264."""
    if shutil.which("ffmpeg") is None:
        return False
    return b"libx264" in subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, check=True).stdout


def _longest_first(spans: Sequence[Span]) -> list[tuple[int, Span]]:
    return sorted(enumerate(spans), key=lambda one: -one[1].work)


def _to_folder(numbered: tuple[int, Span], folder: str, independent: bool) -> None:
    number, span = numbered
    with_pyav(span, f"{folder}/{number}.mp4", independent)
