"""The one way to decode pictures: every frame is counted, and nothing depends on how many cores there are."""

from __future__ import annotations

import heapq
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs

from stages.video.media.container import (
    MOST_PIXELS,
    Decoder,
    VideoError,
    decoder_options,
    demux,
    ffmpeg_errors,
    open_container,
    raise_fault,
)
from stages.video.media.seek import packet_time, packets_before

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

DECODE_LOG = "HPCURATE_DECODE_LOG"
"""Environment variable: a file that gets a line `pid source frames` for each pass over a video."""
DECODE_THREADS = 2
"""Fixed, because what a damaged frame is replaced with may depend on it."""

frames_decoded: Counter[str] = Counter()
"""Frames decoded in this process, by source."""


@attrs.define
class Video:
    """An open video file and its picture."""

    path: str
    container: InputContainer
    stream: VideoStream
    source: str
    """Name used in messages and counts."""
    decoder: Decoder = "cpu"
    max_pixels: int = MOST_PIXELS
    """Of a picture; one with more is an error."""

    def packets(self) -> Iterator[Packet]:
        """Packets of the picture in file order, from the file's current position."""
        with ffmpeg_errors(self.source, "unreadable"):
            yield from (packet for packet in demux(self.container, self.stream) if packet.size)

    def decode(self, packets: Iterable[Packet]) -> Iterator[VideoFrame]:
        """Frames of the packets in display order, counted. Raises VideoError for damaged data."""
        count, last, waiting = 0, 0.0, _Waiting(self.container.format.name == "avi")
        try:
            for packet in itertools.chain(packets, (None,)):
                waiting.sent(packet)
                for frame in self.stream.decode(packet):
                    check_size(frame.width, frame.height, self.max_pixels, self.source)
                    count += 1
                    waiting.got(frame)
                    frame.time_base = self.stream.time_base  # frames from the flush have none
                    last = frame.time or last
                    yield frame
        except _ffmpeg_error() as error:
            raise_fault(error, self.source, self._fault(last))
        finally:
            _record(self.source, count)

    def packets_from(self, pts: int) -> Iterator[Packet]:
        """Packets from a key frame at or before `pts` on; the file must be at its beginning."""
        if pts <= (self.stream.start_time or 0):
            return self.packets()
        found = packets_before(self.container, self.stream, pts, self.packets)
        if found is None:
            self._reopen()
        return found or self.packets()

    def _fault(self, seconds: float) -> str:
        """What to say of a picture that FFmpeg does not decode. It forgets a size that it refuses."""
        if not self.stream.codec_context.width:
            return f"after {seconds:.1f} s a picture of more than max_pixels={self.max_pixels} pixels, or of none"
        return f"damaged after {seconds:.1f} s"

    def _reopen(self) -> None:
        index, threads = self.stream.index, self.stream.codec_context.thread_count
        self.container.close()
        self.container = open_container(self.path, self.source, self.decoder, self.max_pixels)
        self.stream = self.container.streams[index]
        set_up(self.stream, threads, self.max_pixels)


class _Waiting:
    """Timestamps of packets whose frames are still to come.

    AVI keeps no display times and FFmpeg's guesses are out of order where frames are, so there each frame
    gets the least timestamp that waits.
    """

    def __init__(self, needed: bool) -> None:
        self._needed = needed
        self._times: list[int] = []

    def sent(self, packet: Packet | None) -> None:
        if self._needed and packet is not None:
            heapq.heappush(self._times, packet_time(packet) or 0)

    def got(self, frame: VideoFrame) -> None:
        if self._times:
            frame.pts = heapq.heappop(self._times)


@contextmanager
def open_video(
    path: str,
    source: str,
    threads: int = DECODE_THREADS,
    decoder: Decoder = "cpu",
    max_pixels: int = MOST_PIXELS,
) -> Iterator[Video]:
    """Open a file for decoding. Raises VideoError: empty, truncated, not a video, no video stream, too large."""
    container = open_container(path, source, decoder, max_pixels)
    with ExitStack() as stack:
        stack.callback(container.close)
        stream = _picture(container, source)
        check_size(stream.codec_context.width, stream.codec_context.height, max_pixels, source)
        set_up(stream, threads, max_pixels)
        video = Video(path, container, stream, source, decoder, max_pixels)
        stack.callback(lambda: video.container.close())  # another one once it was reopened
        yield video


def set_up(stream: VideoStream, threads: int, max_pixels: int) -> None:
    """How a stream is decoded."""
    stream.codec_context.thread_type = "AUTO"
    stream.codec_context.thread_count = threads
    stream.codec_context.options = decoder_options(max_pixels)


def check_size(width: int, height: int, most: int, source: str) -> None:
    """Raise VideoError for a picture with too many pixels."""
    if width * height > most:
        raise VideoError(f"{source}: a picture of {width} × {height} pixels, more than max_pixels={most}")


def frame_pts(frame: VideoFrame) -> int:
    """Timestamp of a frame; that of its packet where it has none. Raises VideoError."""
    pts = frame.pts if frame.pts is not None else frame.dts
    if pts is None:
        raise VideoError("a frame without a timestamp")
    return int(pts)


def packet_pts(packet: Packet) -> int | None:
    """Timestamp of a packet, by the same rule; None for frames that an edit list hides."""
    return None if packet.is_discard else packet_time(packet)


def _picture(container: InputContainer, source: str) -> VideoStream:
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kind = " of a known codec" if any(stream.codec_context is None for stream in container.streams.video) else ""
    audio = ", only sound" if container.streams.audio else ""
    raise VideoError(f"{source}: no video stream{kind}{audio}")


def _ffmpeg_error() -> type[Exception]:
    from av.error import FFmpegError

    return FFmpegError


def _record(source: str, frames: int) -> None:
    frames_decoded[source] += frames
    log = os.environ.get(DECODE_LOG)
    if log:
        name = quote(source.encode("utf-8", "surrogateescape"))
        with open(log, "a", encoding="ascii") as file:
            file.write(f"{os.getpid()} {name} {frames}\n")
