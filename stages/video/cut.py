"""Cut: each clip as a file of its own, from one pass over its video."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from hpcurate import Resources, Stage, WorkerInfo
from stages.video.clip_encoder import ClipEncoder, Shown, WaitingFrames
from stages.video.copied import span_of
from stages.video.media.container import VideoError, open_container
from stages.video.media.decode import Video, frame_pts
from stages.video.media.encode import Encoding
from stages.video.media.encoders import Choice, chosen_encoder
from stages.video.media.picture import Shaper
from stages.video.media.sample_file import sample_file
from stages.video.media.sampling import Sampler, Sampling
from stages.video.media.stream_copy import (
    FrameTimes,
    copy_piece,
    picture_size,
    piece_of,
    read_frame_times,
    why_not_copyable,
)
from stages.video.outlook import Outlook, Watch, leading_filters
from stages.video.passes import check_start, decode_pass, passes, timed
from stages.video.samples import leave_samples, samplings_of
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame


class Cut(Stage[ClipTask, ClipTask]):
    """Cut each clip into an MP4 of its own, H.264 and AAC, frame-exact, and sample its pictures.

    The clips of a batch that come from one video are cut in one pass over it, from the key frame before
    the first to the end of the last. Pixels are rotated as the video's metadata say; timestamps are kept; missing
    sound inside a clip is silence. The next members of a `Chain` get the pictures that they declare
    (`stages.video.samples`) from the same decode. A clip that a filter directly behind is going to drop is sampled, but
    not encoded: its frames wait until that is certain (`stages.video.outlook`).
    """

    resources = Resources(cpus=1, memory="4GB", time="4h")
    batch_size = 64
    small_batches = True
    source_files = ("path",)
    version = 1
    waiting_bytes: ClassVar[int] = 256 * 2**20
    """Memory for frames of a clip that a filter may still drop. One that needs more, and is kept, is decoded twice."""
    moved: ClassVar[Mapping[str, str]] = {
        "motion_fps": "the parameter fps of Motion, and frozen_fps of Quality",
        "preview_fps": "the parameter fps of Preview",
        "preview_height": "the parameter height of Preview",
        "preview_s": "the parameter max_s of Preview",
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
        max_shift_s: float = 5.0,
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
            max_shift_s: with `copy`, how many seconds an end may move; a clip with an end that has no key frame
                within them is encoded, from where it was asked for.
            encoder: `cpu` is x264; `nvenc` encodes on the GPU (set resources.gpus), `auto` if there is one. Their
                bytes depend on the GPU, so that only `cpu` is deterministic.
        """
        self.encoding = Encoding(crf=crf, preset=preset, threads=encoder_threads, audio_bitrate=audio_bitrate)
        self.audio, self.mode, self.fallback, self.encoder = audio, mode, fallback, encoder
        self.max_shift_s = max_shift_s
        self.deterministic = encoder == "cpu"
        if mode == "copy":
            self.version = 2  # since then, a clip whose span moved has an id of its own

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
        """The same clips with `clip`, `frames`, `has_audio`, `bytes`, `sha256` and `encoder` filled in.

        Those that a filter directly behind will drop have none of that, only their samples.
        """
        made: dict[str, ClipTask] = {}
        for clips in passes(tasks):
            made |= self._copied(clips) if self.mode == "copy" else {clip.id: clip for clip in clips}
            rest = [made[clip.id] for clip in clips if clip.id in made and made[clip.id].clip is None]
            if rest:
                self._pass(rest)
        return [made[task.id] for task in tasks if task.id in made]

    def _copied(self, clips: list[ClipTask]) -> dict[str, ClipTask]:
        """What becomes of each clip of one video, by the id that was asked for; without a file, it is to be encoded."""
        first = clips[0]
        with open_container(first.path, first.source) as given:
            sound = codec_name(given.streams.audio[0]) if self.audio and given.streams.audio else None
        reason = why_not_copyable(first.source_codec, first.rotation, sound)
        if reason and not self.fallback:
            raise VideoError(f"{first.source}: {reason}; fallback=true encodes it")
        if reason:
            return {clip.id: clip for clip in clips}
        times = read_frame_times(first.path, first.source)
        made = {clip.id: self._copy(clip, times, has_audio=sound is not None) for clip in clips}
        return {id: clip for id, clip in made.items() if clip is not None}

    def _copy(self, asked: ClipTask, times: FrameTimes, *, has_audio: bool) -> ClipTask | None:
        piece = piece_of(times, asked.start_pts, asked.end_pts, int(self.max_shift_s / asked.time_base))
        if piece is None:
            self.drop(asked, "no key frame inside")
            return None
        clip = self._moved(asked, span_of(asked, times, piece))
        if clip is not asked:
            self.left_out(asked, "ends moved back to key frames", seconds=asked.duration_s - clip.duration_s)
        if not piece.copyable and not self.fallback:
            raise VideoError(
                f"{asked.source}: an end of the clip from {asked.start_s:.3f} to {asked.end_s:.3f} s has no key frame "
                f"within max_shift_s={self.max_shift_s:g} s before it; raise that, or fallback=true encodes the clip"
            )
        if not piece.copyable:
            return clip
        file = self.file(clip, "clip.mp4")
        frames = copy_piece(clip.path, clip.source, piece, os.fspath(file), audio=self.audio)
        clip.width, clip.height = picture_size(os.fspath(file), clip.source)
        clip.clip, clip.frames, clip.has_audio, clip.encoder = file, frames, has_audio, "copy"
        clip.bytes, clip.sha256 = os.path.getsize(file), digest(file)
        leave_samples(clip, sample_file(os.fspath(file), clip.source, clip.duration_s, self.samplings()))
        return clip

    def _moved(self, asked: ClipTask, span: dict[str, Any]) -> ClipTask:
        """The clip itself, or a child of it with another span: one id never has two contents."""
        if span["id"] == asked.id:
            return asked
        fields = {field.name: getattr(asked, field.name) for field in attrs.fields(type(asked))}
        del fields["id"], fields["parents"]
        return self.child(asked, type(asked), **{**fields, **span})

    def _pass(self, clips: list[ClipTask]) -> None:
        """Sample and encode the clips in one pass over their video; in a second one those that took long to decide."""
        late: list[ClipTask] = []
        with decode_pass(clips) as (video, shaper, pictures_of):
            for clip, pictures in pictures_of:
                if not self._cut(clip, pictures, shaper, video):
                    late.append(clip)
        for clip in late:
            print(f"{clip.source}: the clip from {clip.start_s:.3f} s is decoded again to be encoded", flush=True)
            with decode_pass([clip]) as (video, shaper, pictures_of):
                for _, pictures in pictures_of:
                    self._cut(clip, pictures, shaper, video, again=True)

    def _cut(
        self, clip: ClipTask, frames: Iterator[VideoFrame], shaper: Shaper, video: Video, *, again: bool = False
    ) -> bool:
        """Sample the clip, and encode it if no filter will drop it; False: it is kept, but its frames are gone."""
        head = next(frames, None)
        if head is None:
            raise VideoError(f"{clip.source}: no frame between {clip.start_s:.3f} and {clip.end_s:.3f} s")
        start, end, unit = frame_pts(head), clip.end_pts, clip.time_base
        check_start(clip, start)
        sampler = Sampler([] if again else self.samplings(), float((end - start) * unit))
        watch = Watch([] if again else leading_filters(self.followers), clip)
        waiting = WaitingFrames(self.waiting_bytes)
        sound = video if self.audio else None
        with ClipEncoder(clip, start, self.encoding, sound, partial(self.file, clip, "clip.mp4")) as encoder:
            for pts, duration, frame in timed(head, frames, end):
                shown = Shown(pts, duration, shaper.shape(frame))
                if sampler.add(float((pts - start) * unit), shown.picture):
                    watch.look(sampler.taken())
                for each in waiting.ready(shown, watch.outlook):
                    encoder.add(each)
            watch.look(sampler.taken(), ended=True)
            for each in waiting.settled(watch.outlook):
                encoder.add(each)
            if watch.outlook is Outlook.KEPT and not waiting.too_many:
                clip.clip = encoder.finish()
                clip.bytes, clip.sha256 = os.path.getsize(clip.clip), digest(clip.clip)
        if not again:
            leave_samples(clip, sampler.taken())
        return watch.outlook is Outlook.DROPPED or not waiting.too_many


def codec_name(stream: Any) -> str:
    """FFmpeg's name of a stream's decoder."""
    return stream.codec_context.name if stream.codec_context else "unknown"


def digest(file: os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
