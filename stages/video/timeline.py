"""When the frames of a video are shown, from one pass over its packets that decodes them only where that is wanted."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

import attrs

from stages.video.media.container import VideoError
from stages.video.media.decode import Video, frame_pts, packet_pts

if TYPE_CHECKING:
    from av import VideoFrame
    from av.packet import Packet

T = TypeVar("T")
TOLERATED_S = 1.0
"""A picture that ends more than this before its declared end is truncated."""
LONGEST_S = 3600
"""No picture is shown for longer: one that is has a wrong timestamp, and would make a clip of years."""


@attrs.define
class Timeline:
    """Timestamps of the frames of a video, in ticks."""

    edges: list[int]
    """Timestamp of each frame in display order, then the end of the video."""
    unit: Fraction
    """Seconds per tick."""
    decoded: list[int]
    """Timestamp of each frame as the decoder gave it; one may come twice."""

    @property
    def uneven(self) -> bool:
        """Whether the distances of frames differ by more than rounding; that of the last one may."""
        gaps = {b - a for a, b in zip(self.edges[:-2], self.edges[1:-1])}
        return max(gaps, default=0) - min(gaps, default=0) > 1

    def seconds(self, frame: int) -> Fraction:
        """Time of a frame since the first one."""
        return (self.edges[frame] - self.edges[0]) * self.unit

    def length(self, span: tuple[int, int]) -> Fraction:
        """Seconds from one frame to another."""
        return self.seconds(span[1]) - self.seconds(span[0])

    def frames(self, decoded: Sequence[int]) -> list[int]:
        """Numbers of frames, from their numbers as decoded."""
        times = (self.decoded[number] for number in decoded if number < len(self.decoded))
        return [bisect_left(self.edges, time) for time in times]


def read_timeline(video: Video, look: Callable[[VideoFrame], object] | None) -> Timeline:
    """Timestamps of all frames; `look` gets each one as it is decoded. Without it nothing is decoded.

    The last packet is not decoded: a scene of one frame is none, and together with the frame that Probe
    decodes, and with Cut, this keeps the pipeline at twice the frames of the video. Raises VideoError.
    """
    seen = _Seen()
    packets = seen.watch(video.packets())
    if look is None:
        for _ in packets:
            pass
        return _timeline(video, seen, seen.times, [])
    times = []
    for frame in video.decode(all_but_last(packets)):
        times.append(frame_pts(frame))
        look(frame)
    return _timeline(video, seen, [*times, *seen.times[-1:]], times)


class _Seen:
    """Notes the timestamps of packets that pass by."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.end: int | None = None

    def watch(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        for packet in packets:
            pts = packet_pts(packet)
            if pts is not None:
                self.times.append(pts)
                self.end = max(pts + (packet.duration or 0), self.end or pts)
            yield packet


def all_but_last(items: Iterable[T]) -> Iterator[T]:
    """Everything except the last item, which is still taken from `items`."""
    iterator = iter(items)
    held = next(iterator, None)
    for item in iterator:
        yield held
        held = item


def _timeline(video: Video, seen: _Seen, times: list[int], decoded: list[int]) -> Timeline:
    unit = video.stream.time_base
    if not times or unit is None or seen.end is None:
        raise VideoError(f"{video.source}: no frame has a timestamp")
    unique = sorted(set(times))
    mean = (unique[-1] - unique[0]) // max(1, len(unique) - 1)
    end = max(seen.end, unique[-1] + max(1, mean if seen.end <= unique[-1] else 1))
    _check_whole(video, end * unit)
    edges = [*unique, end]
    _check_times(video, edges, unit)
    return Timeline(edges, unit, decoded)


def _check_times(video: Video, edges: list[int], unit: Fraction) -> None:
    """Raise VideoError for a picture that is shown for hours."""
    for number, (shown, gone) in enumerate(itertools.pairwise(edges)):
        if (gone - shown) * unit > LONGEST_S:
            raise VideoError(
                f"{video.source}: damaged index: picture {number} is shown for {float((gone - shown) * unit):.0f} s; "
                f"expected {LONGEST_S} s at most"
            )


def _check_whole(video: Video, end: Fraction) -> None:
    stream = video.stream
    if not stream.duration or not stream.time_base:
        return
    declared = ((stream.start_time or 0) + stream.duration) * stream.time_base
    if declared - end > TOLERATED_S:
        raise VideoError(f"{video.source}: truncated: the picture ends at {float(end):.1f} of {float(declared):.1f} s")
