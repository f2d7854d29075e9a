"""One pass over a video for many clips: its frames are decoded once, and each clip gets its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from stages.video.media.container import VideoError, ffmpeg_errors
from stages.video.media.decode import Video, frame_pts, open_video
from stages.video.media.picture import Shaper
from stages.video.tasks import ClipTask

if TYPE_CHECKING:
    from av import VideoFrame


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
def decode_pass(
    clips: list[ClipTask],
) -> Iterator[tuple[Video, Shaper, Iterator[tuple[ClipTask, Iterator[VideoFrame]]]]]:
    """(the video, what shapes its frames, each clip with its frames) of clips that one pass decodes."""
    first = clips[0]
    with (
        ffmpeg_errors(first.source, "its pictures cannot be processed"),
        open_video(first.path, first.source, max_pixels=first.max_pixels) as video,
    ):
        frames = video.decode(video.packets_from(first.start_pts))
        with closing(frames):
            yield video, Shaper(first.width, first.height, first.rotation), zip(clips, by_clip(frames, clips))


def by_clip(frames: Iterator[VideoFrame], clips: list[ClipTask]) -> Iterator[Iterator[VideoFrame]]:
    """For each clip an iterator over its frames; it must be exhausted before the next one is requested."""
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
