"""Files that are odd, and whole."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import Any

import av

from tests.stages.broken.media import (
    OPTIONS,
    STBL,
    TRACK,
    box,
    boxes,
    changed,
    content,
    patched,
    picture,
    sound_only,
    tone,
    video,
)


def in_front() -> bytes:
    """The index in front of the data, and its places corrected."""
    data = video()
    moov = content(data, "moov")

    def further(places: bytes) -> bytes:
        moved = (place + len(moov) + 8 for (place,) in struct.iter_unpack(">I", places[8:]))
        return places[:8] + b"".join(struct.pack(">I", place) for place in moved)

    moov = changed(box(b"moov", moov), f"{STBL}/stco", further, every=True)
    first, *rest = (box(kind, inside) for kind, inside in boxes(data) if kind != b"moov")
    return b"".join([first, moov, *rest])


def fragmented() -> bytes:
    """A fragment for each key frame."""
    return video(muxer={"movflags": "frag_keyframe+empty_moov"})


def uneven() -> bytes:
    """Frames at uneven distances."""
    return video(times=[40 * number + number % 3 * 13 for number in range(72)])


def without_keys() -> bytes:
    """An index whose table of key frames is empty."""
    return changed(video(gop=1000), f"{STBL}/stss", lambda _: bytes(8))


def many_streams() -> bytes:
    """One picture, and much sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options=OPTIONS) as out:
        picture_of: Any = out.add_stream("libx264", rate=24)
        picture_of.width, picture_of.height, picture_of.pix_fmt = 96, 64, "yuv420p"
        sounds = [out.add_stream("aac", rate=44100) for _ in range(20)]
        for number in range(72):
            frame = picture(number, 96, 64).reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            out.mux(picture_of.encode(frame))
        out.mux(picture_of.encode(None))
        for sound in sounds:
            for block in (*tone(0.1), None):
                out.mux(sound.encode(block))
    return file.getvalue()


def with_cover(image: bytes) -> bytes:
    """Sound with a PNG attached."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(sound_only())) as given,
        av.open(file, "w", format="matroska", options=OPTIONS) as out,
    ):
        sound = given.streams.audio[0]
        made = out.add_stream_from_template(sound)
        out.add_attachment("cover.png", "image/png", image)
        for packet in given.demux(sound):
            if packet.size:
                packet.stream = made
                out.mux(packet)
    return file.getvalue()


def subtitles() -> bytes:
    """Lines of text."""
    file, lines = io.BytesIO(), b"1\n00:00:00,000 --> 00:00:02,000\nhello\n\n2\n00:00:02,000 --> 00:00:03,000\nbye\n\n"
    with (
        av.open(io.BytesIO(lines), format="srt") as given,
        av.open(file, "w", format="matroska", options=OPTIONS) as out,
    ):
        made = out.add_stream_from_template(given.streams.subtitles[0])
        for packet in given.demux():
            if packet.size:
                packet.stream = made
                out.mux(packet)
    return file.getvalue()


def avi_rate(scale: int, rate: int) -> bytes:
    """An AVI that says that a frame is shown for scale / rate seconds."""
    data = video("avi", codec="mpeg4", sound=False)
    return patched(data, data.index(b"strh") + 28, struct.pack("<II", scale, rate))


def units(scale: int, duration: int = 36864) -> bytes:
    """An index that counts time in 1/scale s."""
    return changed(video(), f"{TRACK}/mdia/mdhd", lambda head: patched(head, 12, struct.pack(">II", scale, duration)))


def ten_hours_claimed() -> bytes:
    """Headers that say ten hours; the index of the pictures says three seconds."""
    data = changed(
        units(12288, 36000 * 12288), "moov/mvhd", lambda head: patched(head, 16, struct.pack(">I", 36_000_000))
    )
    return changed(data, f"{TRACK}/tkhd", lambda head: patched(head, 20, struct.pack(">I", 36_000_000)))


def later_stream() -> bytes:
    """An MPEG-TS without sound, and behind it one with sound."""
    return video("mpegts", sound=False) + video("mpegts", first=3000)


def unknown(kind: bytes) -> bytes:
    """An MP4 of which one codec has a name that nobody knows."""

    def entry(given: bytes) -> bytes:
        ((name, inside),) = boxes(given[8:])
        return given[:8] + (box(b"zzzz", inside.replace(b"esds", b"free")) if name == kind else box(name, inside))

    return changed(video(), f"{STBL}/stsd", entry, every=True)


def slow() -> bytes:
    """An index that says that each picture is shown for 500 s."""
    return changed(video(), f"{STBL}/stts", lambda _: struct.pack(">4I", 0, 1, 72, 500 * 12288))


def size_claimed() -> bytes:
    """An entry of the index that has another size than the stream."""
    return changed(video(), f"{STBL}/stsd", lambda entry: patched(entry, 40, struct.pack(">HH", 65535, 65535)))


def wide_pixels() -> bytes:
    """An index whose aspect of pixels makes three million of 96."""

    def entry(given: bytes) -> bytes:
        ((kind, inside),) = boxes(given[8:])
        parts = [box(k, c) for k, c in boxes(inside[78:]) if k != b"pasp"]
        return given[:8] + box(kind, inside[:78], *parts, box(b"pasp", struct.pack(">II", 30000, 1)))

    return changed(video(), f"{STBL}/stsd", entry)


def in_8k() -> bytes:
    """Two frames, one second each."""
    return video(size=(7680, 4320), frames=2, rate=1, sound=False, still=True, options={"preset": "ultrafast"})
