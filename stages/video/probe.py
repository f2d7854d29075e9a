"""Probe: what a video is, from its header and its first frame."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

from hpcurate import FileTask, Resources, Stage
from stages.video.media.container import MOST_PIXELS, VideoError
from stages.video.media.decode import Video, check_size, open_video
from stages.video.media.mp4 import mp4_fault
from stages.video.samples import above_zero
from stages.video.tasks import VideoTask

if TYPE_CHECKING:
    from av import VideoFrame


class Probe(Stage[FileTask, VideoTask]):
    """Open each file, decode one frame, and note size, rate, length and what else later stages need.

    Fails for what is empty, truncated, encrypted, without a picture, larger than `max_pixels`, or not a video at all.
    """

    resources = Resources(cpus=1, memory="2GB", time="1h")
    version = 1

    def __init__(self, max_pixels: int = MOST_PIXELS) -> None:
        """Set the limit.

        Args:
            max_pixels: width × height of a picture at most; a video with more fails before it is decoded. The default
                is the largest picture of H.264 and HEVC, level 6.2; 8K has fewer. More needs more memory in `split`
                and `clips`, too.
        """
        self.max_pixels = above_zero("max_pixels", max_pixels)

    def process(self, tasks: list[FileTask]) -> list[VideoTask]:
        """One video per file."""
        return [self._probe(task) for task in tasks]

    def _probe(self, task: FileTask) -> VideoTask:
        with open_video(task.path, task.source, threads=1, max_pixels=self.max_pixels) as video:
            fault = mp4_fault(task.path)
            if fault:
                raise VideoError(f"{task.source}: {fault}")
            frame = next(video.decode(video.packets()), None)
            if frame is None:
                raise VideoError(f"{task.source}: no frame can be decoded")
            return self._task(task, video, frame)

    def _task(self, task: FileTask, video: Video, frame: VideoFrame) -> VideoTask:
        rotation = clockwise(frame.rotation)
        width, height = displayed(frame.width, frame.height, video.stream.sample_aspect_ratio, rotation)
        check_size(width, height, self.max_pixels, task.source)  # the pixels' aspect may make it wide
        rate, seconds = average_rate(video), length(video)
        return self.child(
            task,
            VideoTask,
            weight=float(seconds) or 1.0,
            source=task.source,
            path=task.path,
            width=width,
            height=height,
            rotation=rotation,
            fps_num=rate.numerator,
            fps_den=rate.denominator,
            frames=video.stream.frames or round(seconds * rate),
            duration_s=float(seconds),
            codec=video.stream.codec_context.name,
            pix_fmt=frame.format.name,
            has_audio=bool(video.container.streams.audio),
            variable_frame_rate=uneven(video),
            max_pixels=self.max_pixels,
            bytes=task.size,
        )


def clockwise(display_matrix_degrees: float) -> int:
    """Quarter turns clockwise for FFmpeg's angle, which counts counter-clockwise; others count as none."""
    turn = round(-display_matrix_degrees) % 360
    return turn if turn in (90, 180, 270) else 0


def displayed(width: int, height: int, pixel_aspect: Fraction | None, rotation: int) -> tuple[int, int]:
    """Size on a screen with square pixels, after the rotation."""
    if pixel_aspect and pixel_aspect > 0:
        width = max(1, round(width * pixel_aspect))
    return (height, width) if rotation in (90, 270) else (width, height)


def average_rate(video: Video) -> Fraction:
    """Frames per second: the stream's average, else FFmpeg's guess, else 25."""
    for rate in (video.stream.average_rate, video.stream.guessed_rate):
        if rate and rate > 0:
            return Fraction(rate)
    return Fraction(25)


def length(video: Video) -> Fraction:
    """Seconds of picture: the stream's, else the file's, else 0."""
    if video.stream.duration and video.stream.time_base:
        return video.stream.duration * video.stream.time_base
    return Fraction(max(0, video.container.duration or 0), 1_000_000)


def uneven(video: Video) -> bool:
    """Whether the distances of frames in the index differ by more than rounding.

    Without a whole index (MPEG-TS, Matroska): whether the average rate differs from the base rate.
    """
    stream = video.stream
    times = [entry.timestamp for entry in stream.index_entries]
    if len(times) > 1 and len(times) == stream.frames:
        gaps = [b - a for a, b in itertools.pairwise(times)]
        return max(gaps[:-1] or gaps) - min(gaps[:-1] or gaps) > 1
    average, base = stream.average_rate, stream.base_rate
    return bool(average and base and abs(1 - average / base) > Fraction(1, 100))
