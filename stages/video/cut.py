"""Cut: each clip as a file of its own, from one pass over its video."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from hpcurate import Resources, Stage, WorkerInfo
from stages.video.media.decode import Video, VideoError, frame_pts, open_container, open_video
from stages.video.media.encode import ClipWriter, Encoding, Interleaver
from stages.video.media.encoders import Choice, chosen_encoder
from stages.video.media.picture import Shaper
from stages.video.media.sampling import Sampler, Samples, Sampling
from stages.video.media.sound import Sound
from stages.video.media.stream_copy import (
    FrameTimes,
    Piece,
    copy_piece,
    picture_size,
    piece_of,
    read_frame_times,
    why_not_copyable,
)
from stages.video.passes import decode_pass, passes
from stages.video.samples import leave_samples, samplings_of
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame


class Cut(Stage[ClipTask, ClipTask]):
    """Cut each clip into an MP4 of its own, H.264 and AAC, frame-exact, and sample its pictures.

    The clips of a batch that come from one video are cut in one pass over it, from the key frame before
    the first to the end of the last. Pixels are rotated as the video's metadata say; timestamps are kept; missing
    sound inside a clip is silence. The next members of a `Chain` get the pictures that they declare
    (`stages.video.samples`) from the same decode.
    """

    resources = Resources(cpus=2, memory="4GB", time="4h")
    batch_size = 64
    version = 1
    moved: ClassVar[Mapping[str, str]] = {
        "motion_fps": "Motion's fps (stages.motion.fps) and Quality's frozen_fps (stages.quality.frozen_fps)",
        "preview_fps": "Preview's fps (stages.preview.fps)",
        "preview_height": "Preview's height (stages.preview.height)",
        "preview_s": "Preview's max_s (stages.preview.max_s)",
    }

    def __init__(
        self,
        crf: int = 20,
        preset: str = "fast",
        encoder_threads: int = 2,
        audio: bool = True,
        audio_bitrate: int = 64_000,
        mode: Literal["encode", "copy"] = "encode",
        fallback: bool = True,
        encoder: Choice = "cpu",
    ) -> None:
        """Set how clips are encoded.

        Args:
            crf: x264's constant rate factor, 0 (lossless) … 51; 18 looks like the source.
            preset: x264's preset, `ultrafast` … `placebo`.
            encoder_threads: x264's threads; its bytes differ with their number.
            audio: False leaves the sound out.
            audio_bitrate: bits per second and channel.
            mode: `copy` copies packets instead: fast and lossless, but both ends move back to a key frame.
            fallback: with `copy`, encode what cannot be copied; false fails it.
            encoder: `cpu` is x264; `nvenc` encodes on the GPU (set resources.gpus), `auto` if there is one. Their
                bytes depend on the GPU, so that only `cpu` is deterministic.
        """
        self.encoding = Encoding(crf=crf, preset=preset, threads=encoder_threads, audio_bitrate=audio_bitrate)
        self.audio, self.mode, self.fallback, self.encoder = audio, mode, fallback, encoder
        self.deterministic = encoder == "cpu"

    def setup(self, worker: WorkerInfo) -> None:
        """Choose the encoder: whether a GPU can encode is only known on the node."""
        try:
            encoder = chosen_encoder(self.encoder)
        except VideoError as error:
            raise VideoError(
                f"encoder={self.encoder}: {error}; set the stage's resources.gpus=1 and check that the node has a "
                "driver, or use encoder=auto or encoder=cpu"
            ) from None
        self.encoding = attrs.evolve(self.encoding, encoder=encoder)

    def samplings(self) -> list[Sampling]:
        """The pictures that the next members of the chain want."""
        return samplings_of(self.followers)

    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:
        """The same clips with `clip`, `frames`, `has_audio`, `bytes`, `sha256` and `encoder` filled in."""
        for clips in passes(tasks):
            rest = self._copy_pass(clips) if self.mode == "copy" else clips
            if rest:
                self._pass(rest)
        return [clip for clip in tasks if clip.clip is not None]

    def _copy_pass(self, clips: list[ClipTask]) -> list[ClipTask]:
        """Copy what can be copied; the clips that are to be encoded instead."""
        first = clips[0]
        with open_container(first.path) as given:
            sound = given.streams.audio[0].codec_context.name if self.audio and given.streams.audio else None
        reason = why_not_copyable(first.source_codec, first.rotation, sound)
        if reason and not self.fallback:
            raise VideoError(f"{first.source}: {reason}; fallback=true encodes it")
        if reason:
            return clips
        times = read_frame_times(first.path, first.source)
        for clip in clips:
            self._copy(clip, times, has_audio=sound is not None)
        return []

    def _copy(self, clip: ClipTask, times: FrameTimes, *, has_audio: bool) -> None:
        piece = piece_of(times, clip.start_pts, clip.end_pts)
        if piece is None:
            self.drop(clip, "no key frame inside")
            return
        file = self.file(clip, "clip.mp4")
        frames = copy_piece(clip.path, clip.source, piece, os.fspath(file), audio=self.audio)
        move_to_piece(clip, times, piece)
        clip.width, clip.height = picture_size(os.fspath(file))
        clip.clip, clip.frames, clip.has_audio, clip.encoder = file, frames, has_audio, "copy"
        clip.bytes, clip.sha256 = os.path.getsize(file), digest(file)
        leave_samples(clip, self._sample_copy(os.fspath(file), clip))

    def _sample_copy(self, file: str, clip: ClipTask) -> dict[Sampling, Samples]:
        """Samples of a clip that was copied, which nothing has decoded yet."""
        wanted = self.samplings()
        if not wanted:
            return {}
        sampler = Sampler(wanted, clip.duration_s)
        with open_video(file, clip.source) as video:
            frames = video.decode(video.packets())
            with closing(frames):
                start = None
                for frame in frames:
                    start = frame_pts(frame) if start is None else start
                    sampler.add(float((frame_pts(frame) - start) * (frame.time_base or 1)), frame)
        return sampler.taken()

    def _pass(self, clips: list[ClipTask]) -> None:
        with decode_pass(clips) as (video, shaper, pictures_of):
            for clip, pictures in pictures_of:
                self._cut(clip, pictures, shaper, video)

    def _cut(self, clip: ClipTask, frames: Iterator[VideoFrame], shaper: Shaper, video: Video) -> None:
        head = next(frames, None)
        if head is None:
            raise VideoError(f"{clip.source}: no frame between {clip.start_s:.3f} and {clip.end_s:.3f} s")
        check_start(clip, frame_pts(head))
        file = self.file(clip, "clip.mp4")
        start, end = frame_pts(head), clip.end_pts
        sampler = Sampler(self.samplings(), float((end - start) * clip.time_base))
        with ExitStack() as stack:
            sound = self._sound(clip, video, stack)
            shaped = shaper.shape(head)
            writer = stack.enter_context(ClipWriter(os.fspath(file), self.encoding, clip.fps, shaped, sound))
            both = Interleaver(writer, sound, start * clip.time_base, end * clip.time_base)
            for pts, duration, frame in timed(head, frames, end):
                picture = shaper.shape(frame)
                seconds = float((pts - start) * clip.time_base)
                sampler.add(seconds, picture)
                both.until(seconds)
                writer.add_picture(picture, pts - start, duration)
            both.until(float((end - start) * clip.time_base) + 1)
            writer.finish()
        clip.clip, clip.frames, clip.has_audio = file, writer.frames, sound is not None
        clip.encoder = self.encoding.encoder
        clip.bytes, clip.sha256 = os.path.getsize(file), digest(file)
        leave_samples(clip, sampler.taken())

    def _sound(self, clip: ClipTask, video: Video, stack: ExitStack) -> Sound | None:
        if not (self.audio and video.container.streams.audio):
            return None
        return stack.enter_context(closing(Sound(clip.path, clip.source)))


def move_to_piece(clip: ClipTask, found: FrameTimes, piece: Piece) -> None:
    """Set the span of the clip to where its copied file really begins and ends."""
    zero = clip.start_pts - round(Fraction(clip.start_s).limit_denominator(10**9) / clip.time_base)
    end = piece.end if piece.end is not None else max(clip.end_pts, found.times[-1] + 1)
    clip.start_pts, clip.end_pts = piece.start, end
    clip.start_s, clip.end_s = (float((pts - zero) * clip.time_base) for pts in (piece.start, end))
    clip.start_frame, clip.end_frame = (bisect_left(found.times, pts) for pts in (piece.start, end))


def timed(head: VideoFrame, rest: Iterable[VideoFrame], end: int) -> Iterator[tuple[int, int, VideoFrame]]:
    """Each frame with its timestamp and how long it is shown; frames that do not advance are left out."""
    held, at = head, frame_pts(head)
    for frame in rest:
        pts = frame_pts(frame)
        if pts > at:
            yield at, pts - at, held
            held, at = frame, pts
    yield at, max(1, end - at), held


def check_start(clip: ClipTask, pts: int) -> None:
    """Raise VideoError when the clip's first frame is not where `Split` saw it, to within two frames."""
    mean = (clip.end_pts - clip.start_pts) / max(1, clip.end_frame - clip.start_frame)
    if pts - clip.start_pts > 2 * mean:
        late = float((pts - clip.start_pts) * clip.time_base)
        raise VideoError(
            f"{clip.source}: the frame at {clip.start_s:.3f} s cannot be read, the next is {late:.3f} s later"
        )


def digest(file: os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
