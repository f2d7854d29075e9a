"""Pictures taken from the frames of a clip while something else decodes them.

A `Sampling` describes which pictures are wanted: rate, size and colour. One pass serves any number of samplings; equal
ones are taken once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

WHOLE = 1 << 16
"""Larger than any picture: with `enlarge=False`, a sampling of this size takes the frames as they are."""
LONGEST_SIDE = 16_000
"""Pixels; WebP has 16 383 at most. A strip of 8192 × 16, enlarged to 144 in height, would have 73 728 in width."""
TOLERANCE_S = 1e-6
"""A frame that is early by less than this counts as on time."""


@attrs.define(frozen=True, kw_only=True)
class Sampling:
    """Which pictures of a clip to take: for each time the first frame at or after it."""

    fps: float
    """Times per second, from the clip's start."""
    size: int
    """Pixels of the side that `side` names; the other follows. Both are even."""
    side: Literal["longer", "height"] = "longer"
    enlarge: bool = True
    """False leaves smaller pictures as they are."""
    colour: Literal["gray", "rgb24"] = "rgb24"
    """Pictures are arrays (height, width) or (height, width, 3), uint8."""
    first_s: float = math.inf
    """Seconds of the clip, from its start, that are sampled at most."""
    reduce: Callable[[Picture], Any] | None = None
    """What to keep of a picture, so that pictures of a long clip need no memory; None keeps the picture."""

    def times(self, duration_s: float) -> list[float]:
        """Seconds since the clip's start, sorted. Pure."""
        return [k / self.fps for k in range(max(1, math.ceil(min(duration_s, self.first_s) * self.fps - 1e-6)))]

    def scale(self, width: int, height: int) -> float:
        """By how much a frame of this size is enlarged; a strip becomes smaller than asked for, not endless. Pure."""
        scale = self.size / (height if self.side == "height" else max(width, height))
        scale = min(scale, LONGEST_SIDE / max(width, height))
        return scale if self.enlarge else min(1.0, scale)


@attrs.define(frozen=True, kw_only=True)
class PairSampling(Sampling):
    """Pictures to be compared in pairs, `1 / fps` seconds apart."""

    most: int = 240
    """Pairs of a clip at most; those of longer clips are spread evenly. Bounds the memory."""

    def times(self, duration_s: float) -> list[float]:
        """Both times of every pair."""
        return sorted({time for pair in self.pair_times(duration_s) for time in pair})

    def pair_times(self, duration_s: float) -> list[tuple[float, float]]:
        """Times of the pairs: neighbours at `fps`, or `most` such pairs spread evenly. Pure."""
        gap = 1 / self.fps
        count = int(duration_s * self.fps + 1e-6)
        if count <= self.most:
            return [(k * gap, (k + 1) * gap) for k in range(count)]
        return [(k * duration_s / self.most, k * duration_s / self.most + gap) for k in range(self.most)]

    def pairs(self, samples: Samples) -> Iterator[tuple[float, Any, Any]]:
        """(seconds between, before, after) of each pair that did not fall on one and the same frame."""
        for first, second in self.pair_times(samples.duration_s):
            if second in samples.by_time:
                before, after = samples.by_time[first], samples.by_time[second]
                if after.at_s > before.at_s:
                    yield after.at_s - before.at_s, before.picture, after.picture


@attrs.define(frozen=True, kw_only=True)
class SpreadSampling(Sampling):
    """So many pictures of a clip, however long it is: at the start, and from there at even distances."""

    count: int
    """Pictures of a clip; one that has fewer frames gives each of them once."""
    fps: float = 0.0
    """Not used."""

    def times(self, duration_s: float) -> list[float]:
        """The starts of `count` equal parts of the clip. Pure."""
        return list(dict.fromkeys(k * duration_s / self.count for k in range(self.count)))


@attrs.define(frozen=True, kw_only=True)
class TimesSampling(Sampling):
    """Pictures at given times."""

    at_s: tuple[float, ...]
    """Seconds since the clip's start, sorted."""
    fps: float = 0.0
    """Not used."""

    def times(self, duration_s: float) -> list[float]:
        """As given."""
        return list(self.at_s)


@attrs.define(frozen=True)
class Sample:
    """One picture."""

    at_s: float
    """Time of its frame, in seconds since the clip's start."""
    picture: Any
    """The array, or what `reduce` made of it."""


@attrs.define
class Samples:
    """What one sampling took of one clip."""

    duration_s: float
    """Length of the clip."""
    by_time: dict[float, Sample] = attrs.field(factory=dict)
    """Wanted time → sample, in order; times after the last frame are absent."""

    def every_time(self) -> list[Any]:
        """A picture for each time; a frame that is shown for long appears several times."""
        return [sample.picture for sample in self.by_time.values()]

    def every_frame(self) -> list[Any]:
        """The same without repetitions: each frame once."""
        return list({sample.at_s: sample.picture for sample in self.by_time.values()}.values())


class Sampler:
    """Takes the pictures of several samplings from a clip's frames as they pass, in display order."""

    def __init__(self, wanted: Iterable[Sampling], duration_s: float) -> None:
        self._queues = [_Queue(sampling, duration_s) for sampling in dict.fromkeys(wanted)]

    def add(self, seconds: float, frame: VideoFrame) -> bool:
        """Take what is wanted of a frame `seconds` after the clip's start; whether anything was."""
        due = [queue for queue in self._queues if queue.is_due(seconds)]
        if due:
            scaled = _Scaled(frame)
            for queue in due:
                queue.take(seconds, scaled)
        return bool(due)

    def taken(self) -> dict[Sampling, Samples]:
        """Everything taken so far."""
        return {queue.sampling: queue.samples for queue in self._queues}


class _Queue:
    """The times of one sampling that no frame has reached yet."""

    def __init__(self, sampling: Sampling, duration_s: float) -> None:
        self.sampling, self.samples = sampling, Samples(duration_s)
        self._times = sampling.times(duration_s)
        self._next = 0

    def is_due(self, seconds: float) -> bool:
        return self._next < len(self._times) and self._times[self._next] <= seconds + TOLERANCE_S

    def take(self, seconds: float, scaled: _Scaled) -> None:
        picture: Any = scaled.picture(self.sampling)
        sample = Sample(seconds, picture if self.sampling.reduce is None else self.sampling.reduce(picture))
        while self.is_due(seconds):
            self.samples.by_time[self._times[self._next]] = sample
            self._next += 1


class _Scaled:
    """One frame in the sizes and colours that are asked for, each made once."""

    def __init__(self, frame: VideoFrame) -> None:
        self._frame = frame
        self._made: dict[tuple[float, str], Picture] = {}

    def picture(self, sampling: Sampling) -> Picture:
        key = (sampling.scale(self._frame.width, self._frame.height), sampling.colour)
        if key not in self._made:
            self._made[key] = scaled_picture(self._frame, *key)
        return self._made[key]


def scaled_picture(frame: VideoFrame, scale: float, pix_fmt: str) -> Picture:
    """The frame as an array, with even sides; the same on every machine."""
    from av.video.reformatter import Interpolation

    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, pix_fmt, interpolation=Interpolation.AREA, threads=1)
    return small.to_ndarray()
