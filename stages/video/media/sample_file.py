"""Pictures of a video file of its own, from one decode of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from stages.video.media.decode import frame_pts, open_video
from stages.video.media.sampling import Sampler, Samples, Sampling


def sample_file(path: str, source: str, duration_s: float, wanted: Sequence[Sampling]) -> dict[Sampling, Samples]:
    """What each sampling takes of the file; nothing is decoded if none are wanted. Raises VideoError."""
    if not wanted:
        return {}
    sampler = Sampler(wanted, duration_s)
    with open_video(path, source) as video, closing(video.decode(video.packets())) as frames:
        start = None
        for frame in frames:
            start = frame_pts(frame) if start is None else start
            sampler.add(float((frame_pts(frame) - start) * (frame.time_base or 1)), frame)
    return sampler.taken()
