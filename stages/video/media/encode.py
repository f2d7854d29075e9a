"""Write one clip: H.264 and AAC in MP4, the same bytes for the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import attrs

from stages.video.media.sound import Sound, sound_frame

if TYPE_CHECKING:
    from av import VideoFrame
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

CONTAINER = {"movflags": "+faststart", "fflags": "+bitexact"}
"""Index in front; no name and version of the muxer in the file."""
UNSPECIFIED = 2
"""Colour value of H.264 for `not known` (ITU-T H.273)."""


@attrs.define(frozen=True, kw_only=True)
class Encoding:
    """How clips are encoded."""

    crf: int = 20
    """x264's constant rate factor, 0 (lossless) … 51."""
    preset: str = "fast"
    """x264's preset, `ultrafast` … `placebo`."""
    threads: int = 2
    """x264's threads; its output differs with their number."""
    audio_bitrate: int = 64_000
    """AAC's bits per second and channel."""
    encoder: str = "libx264"
    """Or `h264_nvenc`."""


class ClipWriter:
    """One MP4 in the making; `with` closes it."""

    def __init__(self, path: str, encoding: Encoding, rate: Fraction, first: VideoFrame, sound: Sound | None) -> None:
        import av

        self.frames = 0
        self._durations: dict[int, int] = {}
        self._container = av.open(path, "w", format="mp4", options=CONTAINER)
        self._picture = self._add_picture(encoding, rate, first)
        self._sound = self._add_sound(encoding, sound) if sound else None
        self._samples = 0

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._container.close()

    def add_picture(self, frame: VideoFrame, pts: int, duration: int) -> None:
        """The next frame, at `pts` since the clip's start and shown for `duration`, in the video's ticks."""
        from av.video.frame import PictureType

        frame.pts, frame.time_base = pts, self._picture.codec_context.time_base
        frame.pict_type = PictureType.NONE  # the source's key frames are not ours
        self._durations[pts] = duration
        self.frames += 1
        self._mux_picture(self._picture.encode(frame))

    def add_sound(self, samples: Any, rate: int, layout: str) -> None:
        """The next samples, float32 (channels, n)."""
        assert self._sound is not None
        frame = sound_frame(samples, layout, rate, self._samples)
        self._samples += samples.shape[1]
        self._container.mux(self._sound.encode(frame))

    def finish(self) -> None:
        """Write what the encoders hold back."""
        self._mux_picture(self._picture.encode(None))
        if self._sound:
            self._container.mux(self._sound.encode(None))

    def _mux_picture(self, packets: Any) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)

    def _add_picture(self, encoding: Encoding, rate: Fraction, first: VideoFrame) -> VideoStream:
        stream: VideoStream = self._container.add_stream(encoding.encoder, rate=rate)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, "yuv420p"
        context.time_base = stream.time_base = first.time_base
        context.thread_count = encoding.threads
        context.options = encoder_options(encoding)
        for name in ("color_primaries", "color_trc", "colorspace"):
            value = getattr(first, name)
            setattr(context, name, value if value is not None else UNSPECIFIED)
        context.color_range = 1  # limited, as Shaper leaves it
        return stream

    def _add_sound(self, encoding: Encoding, sound: Sound) -> AudioStream:
        stream: AudioStream = self._container.add_stream("aac", rate=sound.rate, layout=sound.layout)
        stream.codec_context.bit_rate = encoding.audio_bitrate * sound.channels
        stream.codec_context.options = {"flags": "+bitexact"}
        return stream


def encoder_options(encoding: Encoding) -> dict[str, str]:
    """Options of the encoder for the wanted quality. Pure."""
    if encoding.encoder == "h264_nvenc":
        return {"rc": "vbr", "cq": str(encoding.crf), "preset": "p5"}
    # Without cpu-independent the rate control reads memory it never wrote: bytes differ from run to run.
    return {"crf": str(encoding.crf), "preset": encoding.preset, "x264-params": "cpu-independent=1"}


class Interleaver:
    """Feeds a clip's sound alongside its pictures, so that neither waits long in the muxer."""

    def __init__(self, writer: ClipWriter, sound: Sound | None, start: Fraction, end: Fraction) -> None:
        self._writer, self._sound = writer, sound
        self._blocks: Iterator[Any] = sound.span(start, end) if sound else iter(())
        self._seconds = 0.0

    def until(self, seconds: float) -> None:
        """Write sound up to this time of the clip."""
        while self._sound and self._seconds < seconds:
            block = next(self._blocks, None)
            if block is None:
                break
            self._writer.add_sound(block, self._sound.rate, self._sound.layout)
            self._seconds += block.shape[1] / self._sound.rate
