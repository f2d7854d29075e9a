"""Clips whose packets were copied: where they really begin and end."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from typing import Any

from stages.video.media.stream_copy import FrameTimes, Piece
from stages.video.tasks import ClipTask, clip_id


def span_of(clip: ClipTask, found: FrameTimes, piece: Piece) -> dict[str, Any]:
    """Where the clip's file really begins and ends, as fields of its task; another span has another id. Pure."""
    zero = clip.start_pts - round(Fraction(clip.start_s).limit_denominator(10**9) / clip.time_base)
    pts = (piece.start, piece.end if piece.end is not None else max(clip.end_pts, found.times[-1] + 1))
    if pts == (clip.start_pts, clip.end_pts):
        return {"id": clip.id}
    start_s, end_s = ((one - zero) * clip.time_base for one in pts)
    start_frame, end_frame = (bisect_left(found.times, one) for one in pts)
    return {
        "id": clip_id(clip.source, start_s, end_s), "weight": float(end_s - start_s),
        "start_pts": pts[0], "end_pts": pts[1], "start_s": float(start_s), "end_s": float(end_s),
        "start_frame": start_frame, "end_frame": end_frame,
    }  # fmt: skip
