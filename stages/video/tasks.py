"""Tasks of the video stages: a video as probed, and a clip of it."""

from __future__ import annotations

from fractions import Fraction

import attrs

from hpcurate import File, Task, stable_id


@attrs.define(kw_only=True)
class VideoTask(Task):
    """A video that opens and whose first frame decodes. `weight` is its length in seconds."""

    source: str
    """Path relative to the input root; undecodable bytes are surrogate-escaped."""
    path: str
    """Absolute path."""
    width: int
    """Pixels, as displayed: after rotation, with square pixels."""
    height: int
    """Pixels, as displayed."""
    rotation: int = 0
    """Degrees clockwise that a player turns the stored picture: 0, 90, 180 or 270."""
    fps_num: int
    """Numerator of the average frame rate in frames per second."""
    fps_den: int
    """Denominator of the average frame rate."""
    frames: int
    """Frames as the container says, or length × rate where it does not; 0 if unknown."""
    duration_s: float
    """Length of the picture in seconds; 0 if unknown."""
    codec: str
    """FFmpeg's name of the decoder, e.g. `h264`."""
    pix_fmt: str
    """FFmpeg's name of the stored pixel format, e.g. `yuv420p`."""
    has_audio: bool = False
    variable_frame_rate: bool = False
    """Whether frames stand at uneven distances, as far as the container's index tells."""

    @property
    def fps(self) -> Fraction:
        """Average frame rate, exact."""
        return Fraction(self.fps_num, self.fps_den)


@attrs.define(kw_only=True)
class ClipTask(Task):
    """A span of one video, and what has been made from it. `weight` is its length in seconds."""

    source: str
    """Path of the video relative to the input root."""
    path: str
    """Absolute path of the video."""
    start_s: float
    """First frame's time in seconds since the first frame of the video."""
    end_s: float
    """Where the frame after the last one stands, or would stand, in seconds."""
    start_pts: int
    """Timestamp of the first frame, in units of the stream's time base."""
    end_pts: int
    """Timestamp that all frames of the clip stand before."""
    time_base_num: int
    """Numerator of the time base in seconds."""
    time_base_den: int
    """Denominator of the time base."""
    start_frame: int
    """Number of the first frame in display order, from 0."""
    end_frame: int
    """Number of the frame after the last one."""
    width: int
    """Pixels of the clip: as the video is displayed, less one where that is odd."""
    height: int
    """Pixels of the clip."""
    rotation: int = 0
    """Degrees clockwise that the stored picture is turned."""
    fps_num: int
    """Numerator of the video's average frame rate."""
    fps_den: int
    """Denominator of the video's average frame rate."""
    source_width: int
    """Pixels of the video as displayed."""
    source_height: int
    """Pixels of the video as displayed."""
    source_codec: str
    """FFmpeg's name of the video's decoder."""
    variable_frame_rate: bool = False
    clip: File | None = None
    """The clip itself, H.264 in MP4."""
    frames: int = 0
    """Frames in the clip's file."""
    has_audio: bool = False
    """Whether the clip's file has sound."""
    bytes: int = 0
    """Size of the clip's file."""
    sha256: str = ""
    """Digest of the clip's file."""
    motion: float | None = None
    """Mean motion in percent of the picture's diagonal per second (see `motion.py`)."""
    preview: File | None = None
    """Animated WebP."""
    encoder: str = ""
    """What made the clip's file: `libx264`, `h264_nvenc`, or `copy` where packets were copied."""
    sharpness: float | None = None
    """Mean variance of the Laplacian (see `looks.py`)."""
    brightness: float | None = None
    """Mean luma, 0 … 255."""
    black: float | None = None
    """Share of black pictures, 0 … 1."""
    frozen: float | None = None
    """Share of pairs of pictures between which nothing changes, 0 … 1."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of a timestamp, exact."""
        return Fraction(self.time_base_num, self.time_base_den)

    @property
    def fps(self) -> Fraction:
        """Average frame rate of the video, exact."""
        return Fraction(self.fps_num, self.fps_den)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


def clip_id(source: str, start_s: Fraction, end_s: Fraction) -> str:
    """UUID5 of source, start and end; times count to the microsecond, names may hold any bytes."""
    return stable_id(source, microseconds(start_s), microseconds(end_s))


def microseconds(seconds: Fraction) -> int:
    """Whole microseconds, rounded half up, so that no float decides about an id."""
    return int(seconds * 1_000_000 + Fraction(1, 2))
