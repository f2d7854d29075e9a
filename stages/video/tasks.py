"""Tasks of the video stages: a video as probed, and a clip of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import attrs

from hpcurate import File, Task, stable_id
from hpcurate.errors import StageError
from hpcurate.task import SOURCE_FILES
from stages.output_fields import FOLDER, Computed, Output, internal, output
from stages.video.media.container import MOST_PIXELS
from stages.vision.tasks import VisualTask

if TYPE_CHECKING:
    from stages.video.media.sampling import Samples, Sampling


@attrs.define(kw_only=True)
class VideoTask(Task):
    """A video that opens and whose first frame decodes. `weight` is its length in seconds."""

    source: str
    """Path relative to the input root; undecodable bytes are surrogate-escaped."""
    path: str = attrs.field(metadata=SOURCE_FILES)
    """Absolute path."""
    width: int
    """Pixels, as displayed: after rotation, with square pixels."""
    height: int
    """Pixels, as displayed."""
    rotation: int = 0
    """Degrees clockwise that a player rotates the stored picture: 0, 90, 180 or 270."""
    fps_num: int
    """Numerator of the average frame rate in frames per second."""
    fps_den: int
    """Denominator of the average frame rate."""
    frames: int
    """Number of frames from the container, else length × rate; 0 if unknown."""
    duration_s: float
    """Length of the picture in seconds; 0 if unknown."""
    codec: str
    """FFmpeg's name of the decoder, e.g. `h264`."""
    pix_fmt: str
    """FFmpeg's name of the stored pixel format, e.g. `yuv420p`."""
    has_audio: bool = False
    variable_frame_rate: bool = False
    """Whether frames are at uneven distances, as far as the container's index shows."""
    max_pixels: int = MOST_PIXELS
    """Of a picture; a larger one fails before it is decoded."""
    bytes: int = 0
    """Size of the file; 0 if unknown."""

    def amounts(self) -> dict[str, float]:
        """Seconds of video, and bytes of the file."""
        return known_amounts(self.duration_s, self.bytes)

    @property
    def fps(self) -> Fraction:
        """Average frame rate, exact."""
        return Fraction(self.fps_num, self.fps_den)


@attrs.define(kw_only=True)
class ClipTask(VisualTask):
    """A span of one video, and what has been made from it. `weight` is its length in seconds.

    All fields that are not `internal()` are written: see `stages.output_fields`. The numbers under `order` keep the
    order of columns and keys; a new field needs none and comes last.
    """

    computed: ClassVar[tuple[Computed, ...]] = (
        Computed(value=lambda clip: clip.id, type=str, output=Output(name="span_uuid", order=1)),
        Computed(
            value=lambda clip: [round(clip.start_s, 6), round(clip.end_s, 6)],
            type=list[float],
            output=Output(name="duration_span", order=3),
        ),
        Computed(
            value=lambda clip: [clip.start_frame, clip.end_frame],
            type=list[int],
            output=Output(name="frame_span", order=4),
        ),
        Computed(
            value=lambda clip: round(float(clip.fps), 6), type=float, output=Output(name="framerate_source", order=7)
        ),
        Computed(value=lambda clip: round(float(clip.fps), 6), type=float, output=Output(name="framerate", order=15)),
        Computed(
            value=lambda clip: clip.source_codec if clip.encoder == "copy" else "h264",
            type=str,
            output=Output(name="video_codec", order=17),
        ),
    )

    start_s: float = attrs.field(metadata=internal())
    """First frame's time in seconds since the first frame of the video."""
    end_s: float = attrs.field(metadata=internal())
    """Time of the frame after the last one, or of the video's end, in seconds."""
    start_pts: int = attrs.field(metadata=internal())
    """Timestamp of the first frame, in units of the stream's time base."""
    end_pts: int = attrs.field(metadata=internal())
    """Timestamp after all frames of the clip."""
    time_base_num: int = attrs.field(metadata=internal())
    """Numerator of the time base in seconds."""
    time_base_den: int = attrs.field(metadata=internal())
    """Denominator of the time base."""
    start_frame: int = attrs.field(metadata=internal())
    """Number of the first frame in display order, from 0."""
    end_frame: int = attrs.field(metadata=internal())
    """Number of the frame after the last one."""
    width: int = attrs.field(metadata=output(order=13, arrow="int32"))
    """Pixels of the clip: as the video is displayed, less one where that is odd."""
    height: int = attrs.field(metadata=output(order=14, arrow="int32"))
    """Pixels of the clip."""
    rotation: int = attrs.field(default=0, metadata=output("rotation_source", order=9, arrow="int32"))
    """Degrees clockwise that the stored picture is rotated."""
    fps_num: int = attrs.field(metadata=internal())
    """Numerator of the video's average frame rate."""
    fps_den: int = attrs.field(metadata=internal())
    """Denominator of the video's average frame rate."""
    source_width: int = attrs.field(metadata=output("width_source", order=5, arrow="int32"))
    """Pixels of the video as displayed."""
    source_height: int = attrs.field(metadata=output("height_source", order=6, arrow="int32"))
    """Pixels of the video as displayed."""
    source_codec: str = attrs.field(metadata=output("codec_source", order=8))
    """FFmpeg's name of the video's decoder."""
    variable_frame_rate: bool = attrs.field(default=False, metadata=output("variable_framerate", order=10))
    max_pixels: int = attrs.field(default=MOST_PIXELS, metadata=internal())
    """Of a picture of the video; a larger one fails before it is decoded."""
    clip: File | None = attrs.field(
        default=None, metadata=output("clip_location", order=11, nullable=False, file=("clips", ".mp4"))
    )
    """The clip itself, H.264 in MP4."""
    frames: int = attrs.field(default=0, metadata=output("num_frames", order=16))
    """Frames in the clip's file."""
    has_audio: bool = attrs.field(default=False, metadata=output(order=18))
    """Whether the clip's file has sound."""
    bytes: int = attrs.field(default=0, metadata=output("num_bytes", order=19))
    """Size of the clip's file."""
    sha256: str = attrs.field(default="", metadata=output(order=20))
    """Digest of the clip's file."""
    motion: float | None = attrs.field(default=None, metadata=output("motion_score", order=21))
    """Mean motion in percent of the picture's diagonal per second (see `motion.py`)."""
    preview: File | None = attrs.field(
        default=None, metadata=output("preview_location", order=12, file=("previews", FOLDER))
    )
    """Animated WebP, named by the first and the last frame that it shows."""
    encoder: str = attrs.field(default="", metadata=output(order=22, nullable=True))
    """What made the clip's file: `libx264`, `h264_nvenc`, or `copy` if packets were copied."""
    sharpness: float | None = attrs.field(default=None, metadata=output(order=23))
    """Mean variance of the Laplacian (see `media/measures.py`)."""
    brightness: float | None = attrs.field(default=None, metadata=output(order=24))
    """Mean luma, 0 … 255."""
    black: float | None = attrs.field(default=None, metadata=output("black_share", order=25))
    """Share of black pictures, 0 … 1."""
    frozen: float | None = attrs.field(default=None, metadata=output("frozen_share", order=26))
    """Share of pairs of pictures between which nothing changes, 0 … 1."""

    def amounts(self) -> dict[str, float]:
        """Seconds of video, and bytes of the clip's file, if there is one."""
        return known_amounts(self.duration_s, self.bytes)

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

    def frame_rate(self) -> tuple[int, float]:
        """(frames of the clip's file, frames a second)."""
        return self.frames, self.frames / self.duration_s

    def samples(self, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
        """Of the clip's own file. Raises StageError if there is none yet, VideoError if it cannot be decoded."""
        from stages.video.media.sample_file import sample_file

        if self.clip is None:
            raise StageError(f"clip {self.id} has no file yet, so no pictures: put this stage after Cut")
        return sample_file(os.fspath(self.clip), self.source, self.duration_s, wanted)


def known_amounts(seconds: float, size: int) -> dict[str, float]:
    """What a video amounts to; what is not known is 0, and left out."""
    return {unit: amount for unit, amount in (("seconds", seconds), ("bytes", size)) if amount}


def clip_id(source: str, start_s: Fraction, end_s: Fraction) -> str:
    """UUID5 of source, start and end; times count to the microsecond, names may hold any bytes."""
    return stable_id(source, microseconds(start_s), microseconds(end_s))


def microseconds(seconds: Fraction) -> int:
    """Whole microseconds, rounded half up, so that no float decides about an id."""
    return int(seconds * 1_000_000 + Fraction(1, 2))
