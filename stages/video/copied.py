"""Clips whose packets were copied: where they really begin and end, and the pictures that they show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction

from stages.video.media.decode import frame_pts, open_video
from stages.video.media.sampling import Sampler, Samples, Sampling
from stages.video.media.stream_copy import FrameTimes, Piece
from stages.video.tasks import ClipTask


def move_to_piece(clip: ClipTask, found: FrameTimes, piece: Piece) -> None:
    """Set the span of the clip to where its copied file really begins and ends."""
    zero = clip.start_pts - round(Fraction(clip.start_s).limit_denominator(10**9) / clip.time_base)
    end = piece.end if piece.end is not None else max(clip.end_pts, found.times[-1] + 1)
    clip.start_pts, clip.end_pts = piece.start, end
    clip.start_s, clip.end_s = (float((pts - zero) * clip.time_base) for pts in (piece.start, end))
    clip.start_frame, clip.end_frame = (bisect_left(found.times, pts) for pts in (piece.start, end))


def sample_file(path: str, clip: ClipTask, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
    """Samples of a clip's own file; nothing is decoded if none are wanted. Raises VideoError."""
    if not wanted:
        return {}
    sampler = Sampler(wanted, clip.duration_s)
    with open_video(path, clip.source) as video, closing(video.decode(video.packets())) as frames:
        start = None
        for frame in frames:
            start = frame_pts(frame) if start is None else start
            sampler.add(float((frame_pts(frame) - start) * (frame.time_base or 1)), frame)
    return sampler.taken()
