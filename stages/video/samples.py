"""Small pictures taken while a clip is cut, so that its motion and preview need no second decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from stages.video.looks import Look, look_at

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

MEMORY_KEY = "video.samples"
"""Where `Cut` leaves a clip's samples in `task.memory`."""
MOTION_SIDE = 160
"""Pixels of the longer side of the pictures that motion is measured on."""
LOOK_SIDE = 640
"""Pixels of the longer side, at most, of the pictures that are looked at: blur shows only at some size."""
LOOK_S = 1.0
"""Seconds between two of them."""
MAX_PAIRS = 240
"""Pairs of pictures per clip at most; those of longer clips are spread evenly. Bounds the memory."""


@attrs.define(frozen=True, kw_only=True)
class SamplePlan:
    """Which pictures to take."""

    motion_fps: float = 4.0
    preview_fps: float = 4.0
    preview_height: int = 144
    preview_s: float = 6.0


@attrs.define
class Samples:
    """What was taken of one clip."""

    pairs: list[tuple[float, Picture, Picture]] = attrs.field(factory=list)
    """Seconds between two grey pictures (height, width) uint8, and the pictures."""
    looks: list[Look] = attrs.field(factory=list)
    """How one picture a second looks."""
    preview: list[Picture] = attrs.field(factory=list)
    """RGB pictures (height, width, 3) uint8, `1 / preview_fps` apart."""
    preview_fps: float = 4.0


def motion_pairs(duration_s: float, fps: float, limit: int = MAX_PAIRS) -> list[tuple[float, float]]:
    """Times of the pairs to compare: neighbours at `fps`, or `limit` such pairs spread evenly. Pure."""
    gap = 1 / fps
    count = int(duration_s * fps + 1e-6)
    if count <= limit:
        return [(k * gap, (k + 1) * gap) for k in range(count)]
    return [(k * duration_s / limit, k * duration_s / limit + gap) for k in range(limit)]


def preview_times(duration_s: float, fps: float, longest_s: float) -> list[float]:
    """Times of a preview's pictures: at `fps`, from the start, at most `longest_s` seconds. Pure."""
    return [k / fps for k in range(max(1, int(min(duration_s, longest_s) * fps + 1e-6)))]


class Collector:
    """Takes the planned pictures from a clip's frames as they pass; for each time the first frame at or after it."""

    def __init__(self, plan: SamplePlan, duration_s: float) -> None:
        self._pairs = motion_pairs(duration_s, plan.motion_fps)
        self._motion = sorted({time for pair in self._pairs for time in pair})
        self._preview = preview_times(duration_s, plan.preview_fps, plan.preview_s)
        self._height = plan.preview_height
        self._taken: dict[float, tuple[float, Picture]] = {}
        self._samples = Samples(preview_fps=plan.preview_fps)
        self._next_motion = self._next_preview = 0
        self._next_look = 0.0

    def add(self, seconds: float, frame: VideoFrame) -> None:
        """Look at a frame that stands `seconds` after the clip's start."""
        grey = rgb = None
        now = seconds + 1e-6
        while self._next_motion < len(self._motion) and self._motion[self._next_motion] <= now:
            grey = _small(frame, MOTION_SIDE / max(frame.width, frame.height), "gray") if grey is None else grey
            self._taken[self._motion[self._next_motion]] = (seconds, grey)
            self._next_motion += 1
        if now >= self._next_look:
            scale = min(1.0, LOOK_SIDE / max(frame.width, frame.height))
            self._samples.looks.append(look_at(_small(frame, scale, "gray")))
            self._next_look += LOOK_S * (int((now - self._next_look) / LOOK_S) + 1)
        while self._next_preview < len(self._preview) and self._preview[self._next_preview] <= now:
            rgb = _small(frame, self._height / frame.height, "rgb24") if rgb is None else rgb
            self._samples.preview.append(rgb)
            self._next_preview += 1

    def samples(self) -> Samples:
        """Everything taken; pairs that fell on one and the same frame are left out."""
        for first, second in self._pairs:
            if second in self._taken:
                (at, before), (then, after) = self._taken[first], self._taken[second]
                if then > at:
                    self._samples.pairs.append((then - at, before, after))
        return self._samples


def _small(frame: VideoFrame, scale: float, pix_fmt: str) -> Picture:
    from av.video.reformatter import Interpolation

    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, pix_fmt, interpolation=Interpolation.AREA, threads=1)
    return small.to_ndarray()
