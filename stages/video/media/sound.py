"""The sound of one span, decoded separately for each clip, so that its bytes depend on nothing but its span."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from stages.video.media.container import VideoError, demux, open_container, raise_fault
from stages.video.media.seek import packets_before

if TYPE_CHECKING:
    import numpy as np
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Sample rates of AAC (ISO/IEC 14496-3, table 1.18); others become 48000."""
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
"""Channels that are kept; other numbers are mixed down to stereo."""
PREROLL = Fraction(1)
"""Seconds decoded before the span, because decoders start in an unsettled state."""
JITTER = Fraction(1, 50)
"""Gaps and overlaps below this many seconds are rounding of timestamps, and are closed."""


class Sound:
    """Reads samples of a file's first sound stream, exactly as many as a span lasts; gaps are silence."""

    def __init__(self, path: str, source: str) -> None:
        self._path, self._source = path, source
        self._open()
        context = self._stream.codec_context
        if context is None:
            self.close()
            raise VideoError(f"{source}: sound of an unknown codec; audio=false leaves it out")
        self.rate: int = context.rate if context.rate in AAC_RATES else 48000
        self.layout: str = LAYOUTS.get(context.layout.nb_channels, "stereo")
        self.channels = {name: number for number, name in LAYOUTS.items()}[self.layout]

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def span(self, start: Fraction, end: Fraction) -> Iterator[Samples]:
        """Samples from `start` to `end`, seconds on the file's clock, as float32 blocks (channels, n)."""
        total, done, jitter = round((end - start) * self.rate), 0, JITTER * self.rate
        for at, block in self._blocks(start):
            begin = done if abs(at - done) < jitter and done else at
            if begin >= total:
                break
            yield from silence(self.channels, begin - done, self.rate)
            done = max(done, begin)
            block = block[:, done - begin : total - begin]
            if block.shape[1]:
                yield block
                done += block.shape[1]
        yield from silence(self.channels, total - done, self.rate)

    def _blocks(self, start: Fraction) -> Iterator[tuple[int, Samples]]:
        """Decoded blocks with the number of their first sample, counted from `start`."""
        for frame in self._resampled(start):
            if frame.pts is not None and frame.time_base:
                yield round((frame.pts * frame.time_base - start) * self.rate), frame.to_ndarray()

    def _resampled(self, start: Fraction) -> Iterator[AudioFrame]:
        from av import AudioResampler

        resampler = AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
        for frame in self._decoded(start):
            yield from resampler.resample(frame)
        yield from resampler.resample(None)

    def _decoded(self, start: Fraction) -> Iterator[AudioFrame]:
        """Frames from some time before `start`; errors there do not count, since a seek may land within a frame."""
        from av.error import FFmpegError

        base = self._stream.time_base or Fraction(1)
        for packet in self._packets(start - PREROLL):
            try:
                frames = packet.decode()
            except FFmpegError as error:
                if packet.pts is None or packet.pts * base < start:
                    continue
                raise_fault(error, self._source, "damaged sound")
            yield from frames

    def _packets(self, start: Fraction) -> Iterator[Packet]:
        base = self._stream.time_base or Fraction(1)
        if start > (self._stream.start_time or 0) * base:
            found = packets_before(self._container, self._stream, int(start / base), self._demux)
            if found is not None:
                return found
            self.close()
            self._open()
        return self._demux()

    def _demux(self) -> Iterator[Packet]:
        return demux(self._container, self._stream)

    def _open(self) -> None:
        self._container: InputContainer = open_container(self._path, self._source)
        self._stream: AudioStream = self._container.streams.audio[0]


def silence(channels: int, count: int, most: int) -> Iterator[Samples]:
    """So many samples, in blocks of `most`: a picture may be shown for hours."""
    import numpy as np

    for begin in range(0, count, most):
        yield np.zeros((channels, min(most, count - begin)), np.float32)


def sound_frame(samples: Samples, layout: str, rate: int, first: int) -> Any:
    """One `av.AudioFrame` of the samples, placed at sample number `first`."""
    import numpy as np
    from av import AudioFrame

    frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
    return frame
