"""Bytes of small videos, and the means to change single boxes and bits of them. The same bytes at each call."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np

OPTIONS = {"fflags": "+bitexact"}
TRACK = "moov/trak"
STBL = f"{TRACK}/mdia/minf/stbl"


def video(
    form: str = "mp4", *, codec: str = "libx264", size: tuple[int, int] = (96, 64), pix_fmt: str = "yuv420p",
    frames: int = 72, rate: int = 24, gop: int = 24, sound: bool = True, still: bool = False, rotation: int = 0,
    times: Sequence[int] | None = None, first: int = 0, aspect: Fraction | None = None,
    options: dict[str, str] | None = None, muxer: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Three seconds that move, with a tone; `times` in thousandths of a second, `first` of them before all."""
    return _video(
        form, codec, size, pix_fmt, frames, rate, gop, sound, still, rotation, tuple(times) if times else None, first,
        aspect, tuple(sorted((options or {}).items())), tuple(sorted((muxer or {}).items())),
    )  # fmt: skip


@cache
def _video(
    form: str, codec: str, size: tuple[int, int], pix_fmt: str, frames: int, rate: int, gop: int, sound: bool,
    still: bool, rotation: int, times: tuple[int, ...] | None, first: int, aspect: Fraction | None,
    options: tuple[tuple[str, str], ...], muxer: tuple[tuple[str, str], ...],
) -> bytes:  # fmt: skip
    file = io.BytesIO()
    with av.open(file, "w", format=form, options={**OPTIONS, **dict(muxer)}) as out:
        stream: Any = out.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.thread_count, stream.codec_context.gop_size = 1, gop
        if times or first:
            stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        audio = out.add_stream("mp2" if form in ("mpeg", "vob") else "aac", rate=44100) if sound else None
        for number in range(len(times) if times else frames):
            frame = picture(0 if still else number, *size).reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            if times or first:
                frame.pts = (times[number] if times else number * 1000 // rate) + first
                frame.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            for block in tone(frames / rate):
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return file.getvalue()


def picture(number: int, width: int, height: int) -> av.VideoFrame:
    """Stripes that move with the number."""
    x, y = np.arange(width, dtype=np.uint16)[None, :] * 4, np.arange(height, dtype=np.uint16)[:, None] * 2
    return av.VideoFrame.from_ndarray((x + y + 9 * number).astype(np.uint8), format="gray")


def tone(seconds: float) -> Iterator[av.AudioFrame]:
    """440 Hz."""
    t = np.arange(round(seconds * 44100)) / 44100
    frame = av.AudioFrame.from_ndarray((0.3 * np.sin(2764.6 * t)).astype(np.float32)[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
    yield frame


@cache
def sound_only(form: str = "mp4") -> bytes:
    """A tone without a picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=form, options=OPTIONS) as out:
        audio = out.add_stream("aac", rate=44100)
        for block in tone(2):
            out.mux(audio.encode(block))
        out.mux(audio.encode(None))
    return file.getvalue()


# -- boxes of MP4 ---------------------------------------------------------------------------------


def box(kind: bytes, *content: bytes) -> bytes:
    """A box."""
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), kind) + inside


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box at the outermost level."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += max(8, size)


def changed(data: bytes, path: str, change: Any, *, every: bool = False) -> bytes:
    """The file with the content of one box (`moov/trak/…`, the first of each name) as `change` returns it.

    None instead of content leaves the box out. Chunk offsets are not corrected: the index is to stand behind the data.
    """
    name, _, rest = path.partition("/")
    made, done = [], False
    for kind, content in boxes(data):
        if kind == name.encode() and (every or not done):
            done = True
            content = changed(content, rest, change, every=every) if rest else change(content)
            if content is None:
                continue
        made.append(box(kind, content))
    assert done, f"no box {name}"
    return b"".join(made)


def content(data: bytes, path: str) -> bytes:
    """Of the first box of each name."""
    for name in path.split("/"):
        data = next(inside for kind, inside in boxes(data) if kind == name.encode())
    return data


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """The bytes with some replaced."""
    return data[:at] + new + data[at + len(new) :]


def table(rows: Iterable[Sequence[int]], flags: int = 0) -> bytes:
    """The content of stts, stco and their like."""
    listed = [struct.pack(f">{len(row)}I", *row) for row in rows]
    return struct.pack(">II", flags, len(listed)) + b"".join(listed)


# -- pictures that claim to be large --------------------------------------------------------------


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims this size, and holds no more than these bytes."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@cache
def jpeg(width: int, height: int) -> bytes:
    """A JPEG of 16 × 16 that claims another size."""
    data = next(_packets("mjpeg", (16, 16), "yuvj420p"))
    at = data.index(b"\xff\xc0") + 5
    return patched(data, at, struct.pack(">HH", height, width))


def _packets(codec: str, size: tuple[int, int], pix_fmt: str) -> Iterator[bytes]:
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt, context.time_base = *size, pix_fmt, Fraction(1, 24)
    for number in range(3):
        frame = picture(number, *size).reformat(format=pix_fmt)
        frame.pts = number
        yield from (bytes(packet) for packet in context.encode(frame))
    yield from (bytes(packet) for packet in context.encode(None))


def muxed(form: str, codec: str, size: tuple[int, int], packets: Sequence[bytes]) -> bytes:
    """A file of packets that were made elsewhere, one a second."""
    file = io.BytesIO()
    with av.open(file, "w", format=form, options=OPTIONS) as out:
        stream: Any = out.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "rgb24"
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1)
            packet.duration, packet.is_keyframe = 1, True
            out.mux(packet)
    return file.getvalue()
