"""Cut: each clip as a file of its own, from one pass over its video."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Literal

import attrs

from hpcurate import Resources, Stage, WorkerInfo
from stages.video.copy import Keys, copy_piece, moved, piece_of, read_keys, size_of, why_not
from stages.video.decode import Video, VideoError, frame_pts, open_container, open_video
from stages.video.encode import ClipWriter, Encoding, Interleaver
from stages.video.gpu import Choice, chosen_encoder
from stages.video.picture import Shaper
from stages.video.samples import MEMORY_KEY, Collector, SamplePlan, Samples
from stages.video.sound import Sound
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame


class Cut(Stage[ClipTask, ClipTask]):
    """Cut each clip into an MP4 of its own, H.264 and AAC, frame-exact, and take samples for the next stages.

    The clips of a batch that come from one video are cut in one pass over it, from the key frame before
    the first to the end of the last. Pixels are turned as the video says; timestamps are kept; missing
    sound inside a clip is silence. The samples stand in `task.memory` for the next members of a `Chain`.
    """

    resources = Resources(cpus=2, memory="4GB", time="4h")
    batch_size = 64
    version = 1

    def __init__(  # noqa: PLR0913 - the settings of one encoding
        self,
        crf: int = 20,
        preset: str = "fast",
        encoder_threads: int = 2,
        audio: bool = True,
        audio_bitrate: int = 64_000,
        motion_fps: float = 4.0,
        preview_fps: float = 4.0,
        preview_height: int = 144,
        preview_s: float = 6.0,
        mode: Literal["encode", "copy"] = "encode",
        fallback: bool = True,
        encoder: Choice = "cpu",
    ) -> None:
        """Set how clips are encoded and sampled.

        Args:
            crf: x264's constant rate factor, 0 (lossless) … 51; 18 looks like the source.
            preset: x264's preset, `ultrafast` … `placebo`.
            encoder_threads: x264's threads; its bytes differ with their number.
            audio: False leaves the sound out.
            audio_bitrate: bits per second and channel.
            motion_fps: pictures per second that motion is measured on.
            preview_fps: pictures per second of the preview.
            preview_height: pixels of the preview.
            preview_s: seconds from the clip's start that the preview shows at most.
            mode: `copy` copies packets instead: fast and lossless, but both ends move back to a key frame.
            fallback: with `copy`, encode what cannot be copied; false fails it.
            encoder: `cpu` is x264; `nvenc` encodes on the GPU (set resources.gpus), `auto` where there is one. Their
                bytes depend on the GPU, so that only `cpu` is deterministic.
        """
        self.encoding = Encoding(crf=crf, preset=preset, threads=encoder_threads, audio_bitrate=audio_bitrate)
        self.audio, self.mode, self.fallback, self.encoder = audio, mode, fallback, encoder
        self.deterministic = encoder == "cpu"
        self.plan = SamplePlan(
            motion_fps=motion_fps, preview_fps=preview_fps, preview_height=preview_height, preview_s=preview_s
        )

    def setup(self, worker: WorkerInfo) -> None:
        """See whether a GPU encodes here, if one is asked for."""
        self.encoding = attrs.evolve(self.encoding, encoder=chosen_encoder(self.encoder))

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
        reason = why_not(first, sound)
        if reason and not self.fallback:
            raise VideoError(f"{first.source}: {reason}; stages.cut.fallback=true encodes it")
        if reason:
            return clips
        keys = read_keys(first.path, first.source)
        for clip in clips:
            self._copy(clip, keys, has_audio=sound is not None)
        return []

    def _copy(self, clip: ClipTask, keys: Keys, *, has_audio: bool) -> None:
        piece = piece_of(keys, clip.start_pts, clip.end_pts)
        if piece is None:
            self.drop(clip, "no key frame inside")
            return
        file = self.file(clip, "clip.mp4")
        frames = copy_piece(clip, piece, os.fspath(file), audio=self.audio)
        moved(clip, keys, piece)
        clip.width, clip.height = size_of(os.fspath(file))
        clip.clip, clip.frames, clip.has_audio, clip.encoder = file, frames, has_audio, "copy"
        clip.bytes, clip.sha256 = os.path.getsize(file), digest(file)
        clip.memory[MEMORY_KEY] = self._look_again(os.fspath(file), clip)

    def _look_again(self, file: str, clip: ClipTask) -> Samples:
        """Samples of a clip that was copied: what nothing has decoded yet."""
        collector = Collector(self.plan, clip.duration_s)
        with open_video(file, clip.source) as video:
            frames = video.decode(video.packets())
            with closing(frames):
                start = None
                for frame in frames:
                    start = frame_pts(frame) if start is None else start
                    collector.add(float((frame_pts(frame) - start) * (frame.time_base or 1)), frame)
        return collector.samples()

    def _pass(self, clips: list[ClipTask]) -> None:
        with one_decode(clips) as (video, shaper, pictures_of):
            for clip, pictures in pictures_of:
                self._cut(clip, pictures, shaper, video)

    def _cut(self, clip: ClipTask, frames: Iterator[VideoFrame], shaper: Shaper, video: Video) -> None:
        head = next(frames, None)
        if head is None:
            raise VideoError(f"{clip.source}: no frame between {clip.start_s:.3f} and {clip.end_s:.3f} s")
        check_start(clip, frame_pts(head))
        file = self.file(clip, "clip.mp4")
        start, end = frame_pts(head), clip.end_pts
        collector = Collector(self.plan, float((end - start) * clip.time_base))
        with ExitStack() as stack:
            sound = self._sound(clip, video, stack)
            shaped = shaper.shape(head)
            writer = stack.enter_context(ClipWriter(os.fspath(file), self.encoding, clip.fps, shaped, sound))
            both = Interleaver(writer, sound, start * clip.time_base, end * clip.time_base)
            for pts, duration, frame in timed(head, frames, end):
                picture = shaper.shape(frame)
                seconds = float((pts - start) * clip.time_base)
                collector.add(seconds, picture)
                both.until(seconds)
                writer.add_picture(picture, pts - start, duration)
            both.until(float((end - start) * clip.time_base) + 1)
            writer.finish()
        clip.clip, clip.frames, clip.has_audio = file, writer.frames, sound is not None
        clip.encoder = self.encoding.encoder
        clip.bytes, clip.sha256 = os.path.getsize(file), digest(file)
        clip.memory[MEMORY_KEY] = collector.samples()

    def _sound(self, clip: ClipTask, video: Video, stack: ExitStack) -> Sound | None:
        if not (self.audio and video.container.streams.audio):
            return None
        return stack.enter_context(closing(Sound(clip.path, clip.source)))


def passes(clips: Iterable[ClipTask]) -> list[list[ClipTask]]:
    """Clips grouped so that each group is one forward pass over one video: sorted, none overlapping. Pure."""
    groups: list[list[ClipTask]] = []
    for clip in sorted(clips, key=lambda clip: (clip.path, clip.start_pts, clip.end_pts)):
        last = groups[-1][-1] if groups else None
        if last is not None and last.path == clip.path and last.end_pts <= clip.start_pts:
            groups[-1].append(clip)
        else:
            groups.append([clip])
    return groups


@contextmanager
def one_decode(
    clips: list[ClipTask],
) -> Iterator[tuple[Video, Shaper, Iterator[tuple[ClipTask, Iterator[VideoFrame]]]]]:
    """(the video, what shapes its frames, each clip with its frames) of clips that one pass decodes."""
    first = clips[0]
    with open_video(first.path, first.source) as video:
        frames = video.decode(video.packets_from(first.start_pts))
        with closing(frames):
            yield video, Shaper(first.width, first.height, first.rotation), zip(clips, by_clip(frames, clips))


def by_clip(frames: Iterator[VideoFrame], clips: list[ClipTask]) -> Iterator[Iterator[VideoFrame]]:
    """For each clip an iterator over its frames; it must be used up before the next is asked for."""
    waiting: list[VideoFrame] = []

    def inside(clip: ClipTask) -> Iterator[VideoFrame]:
        while True:
            frame = waiting.pop() if waiting else next(frames, None)
            if frame is None:
                return
            if frame_pts(frame) >= clip.end_pts:
                waiting.append(frame)
                return
            if frame_pts(frame) >= clip.start_pts:
                yield frame

    for clip in clips:
        yield inside(clip)


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
