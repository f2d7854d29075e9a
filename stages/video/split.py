"""Split: a video becomes the spans that will be its clips."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs

from hpcurate import Resources, Stage
from hpcurate.errors import ConfigError
from stages.video.media.decode import Video, VideoError, frame_pts, open_video, packet_pts
from stages.video.spans import Short, Span, limit_lengths, scenes, strides
from stages.video.tasks import ClipTask, VideoTask, clip_id

if TYPE_CHECKING:
    from av.packet import Packet

T = TypeVar("T")
TOLERATED_S = 1.0
"""A picture that ends more than this before its declared end is truncated."""


@attrs.define
class Timeline:
    """Timestamps of the frames of a video, in ticks."""

    edges: list[int]
    """Timestamp of each frame in display order, then the end of the video."""
    unit: Fraction
    """Seconds per tick."""
    cuts: list[int] = attrs.field(factory=list)
    """Numbers of frames that start a scene."""

    @property
    def uneven(self) -> bool:
        """Whether the distances of frames differ by more than rounding; that of the last one may."""
        gaps = {b - a for a, b in zip(self.edges[:-2], self.edges[1:-1])}
        return max(gaps, default=0) - min(gaps, default=0) > 1

    def seconds(self, frame: int) -> Fraction:
        """Time of a frame since the first one."""
        return (self.edges[frame] - self.edges[0]) * self.unit


class Split(Stage[VideoTask, ClipTask]):
    """Divide each video into spans, by scene or by stride. A video without a cut is one span.

    Spans shorter than `min_s` are dropped (or merged, see `short`), spans longer than `max_s` are cut into
    the fewest equal pieces that are not longer; lengths count to within half a frame. A video of which
    nothing remains is dropped.
    """

    resources = Resources(cpus=2, memory="4GB", time="4h")
    version = 1

    def __init__(
        self,
        method: Literal["scenes", "stride"] = "scenes",
        threshold: float = 27.0,
        stride_s: float = 10.0,
        min_s: float = 2.0,
        max_s: float = 60.0,
        short: Short = "drop",
    ) -> None:
        """Set what a span is.

        Args:
            method: `scenes` decodes the video and cuts where the picture changes; `stride` every `stride_s`.
            threshold: mean change of hue, saturation and lightness, 0…255, from which on a frame starts a
                scene (PySceneDetect's default).
            stride_s: seconds of a span when `method` is `stride`.
            min_s: spans shorter than this many seconds fall under `short`.
            max_s: spans longer than this many seconds are cut into equal pieces; at least twice `min_s`.
            short: `drop` leaves short spans out, `merge` joins them to the one before (the first: after).
        """
        if min_s < 0 or max_s < 2 * min_s or max_s <= 0:
            raise ConfigError(
                f"max_s: {max_s:g} is less than twice min_s ({min_s:g}), so pieces of a long span would be "
                f"too short; set max_s to {max(2 * min_s, 1):g} or more"
            )
        if method == "stride" and (stride_s <= 0 or stride_s < min_s):
            raise ConfigError(f"stride_s: {stride_s:g} is less than min_s ({min_s:g}), nothing would remain")
        self.method, self.threshold, self.short = method, threshold, short
        self.stride, self.shortest, self.longest = Fraction(stride_s), Fraction(min_s), Fraction(max_s)

    def process(self, tasks: list[VideoTask]) -> list[ClipTask]:
        """Clips of each video, in order."""
        return [clip for task in tasks for clip in self._split(task)]

    def _split(self, task: VideoTask) -> list[ClipTask]:
        with open_video(task.path, task.source) as video:
            timeline = read_timeline(video, self.threshold if self.method == "scenes" else None)
        spans = self._spans(timeline)
        if not spans:
            self.drop(task, f"no span of {float(self.shortest):g} s or more")
        return [self._clip(task, timeline, span) for span in spans]

    def _spans(self, timeline: Timeline) -> list[Span]:
        edges, unit = timeline.edges, timeline.unit
        spans = scenes(timeline.cuts, len(edges) - 1) if self.method == "scenes" else strides(edges, self.stride / unit)
        return limit_lengths(spans, edges, self.shortest / unit, self.longest / unit, self.short)

    def _clip(self, task: VideoTask, timeline: Timeline, span: Span) -> ClipTask:
        start, end = timeline.seconds(span[0]), timeline.seconds(span[1])
        return self.child(
            task,
            ClipTask,
            id=clip_id(task.source, start, end),
            weight=float(end - start),
            source=task.source,
            path=task.path,
            start_s=float(start),
            end_s=float(end),
            start_pts=timeline.edges[span[0]],
            end_pts=timeline.edges[span[1]],
            time_base_num=timeline.unit.numerator,
            time_base_den=timeline.unit.denominator,
            start_frame=span[0],
            end_frame=span[1],
            width=max(2, task.width - task.width % 2),
            height=max(2, task.height - task.height % 2),
            rotation=task.rotation,
            fps_num=task.fps_num,
            fps_den=task.fps_den,
            source_width=task.width,
            source_height=task.height,
            source_codec=task.codec,
            variable_frame_rate=timeline.uneven,
        )


def read_timeline(video: Video, threshold: float | None) -> Timeline:
    """Timestamps of all frames, and the cuts if there is a threshold; without one nothing is decoded.

    The last packet is not decoded: a scene of one frame is none, and together with the frame that Probe
    decodes, and with Cut, this keeps the pipeline at twice the frames of the video. Raises VideoError.
    """
    seen = _Seen()
    packets = seen.watch(video.packets())
    if threshold is None:
        for _ in packets:
            pass
        return _timeline(video, seen, seen.times, [])
    from stages.video.media.scenes import CutFinder

    finder, times = CutFinder(threshold), []
    for frame in video.decode(all_but_last(packets)):
        times.append(frame_pts(frame))
        finder.add(frame)
    return _timeline(video, seen, [*times, *seen.times[-1:]], [times[cut] for cut in finder.cuts])


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


def _timeline(video: Video, seen: _Seen, times: list[int], cut_times: list[int]) -> Timeline:
    unit = video.stream.time_base
    if not times or unit is None or seen.end is None:
        raise VideoError(f"{video.source}: no frame has a timestamp")
    unique = sorted(set(times))
    mean = (unique[-1] - unique[0]) // max(1, len(unique) - 1)
    end = max(seen.end, unique[-1] + max(1, mean if seen.end <= unique[-1] else 1))
    _check_whole(video, end * unit)
    return Timeline([*unique, end], unit, [bisect_left(unique, time) for time in cut_times])


def _check_whole(video: Video, end: Fraction) -> None:
    stream = video.stream
    if not stream.duration or not stream.time_base:
        return
    declared = ((stream.start_time or 0) + stream.duration) * stream.time_base
    if declared - end > TOLERATED_S:
        raise VideoError(f"{video.source}: truncated: the picture ends at {float(end):.1f} of {float(declared):.1f} s")
