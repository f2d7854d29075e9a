"""Files that are damaged, or claim what nobody has memory for."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence

from tests.stages.broken.media import STBL, box, boxes, changed, content, muxed, patched, png, table, video
from tests.stages.broken.whole import fragmented

MANY = 60_000_000
"""Pictures: FFmpeg's index of them needs 1.4 GB, and FFmpeg itself takes up to 2 GB at once."""


def random_data(data: bytes | None = None) -> bytes:
    """Random bytes where the pictures and the sound were."""
    return changed(data or video(), "mdat", lambda inside: random.Random(5).randbytes(len(inside)))


def encrypted() -> bytes:
    """Random bytes, and an index that says that they are encrypted (ISO/IEC 23001-7)."""
    tenc = box(b"tenc", struct.pack(">IBBBB", 0, 0, 0, 1, 8), bytes(range(16)))
    scheme = box(b"schm", struct.pack(">I4sI", 0, b"cenc", 0x10000))
    sinf = box(b"sinf", box(b"frma", b"avc1"), scheme, box(b"schi", tenc))

    def entry(given: bytes) -> bytes:
        ((_, inside),) = boxes(given[8:])
        return given[:8] + box(b"encv", inside, sinf)

    return random_data(changed(video(), f"{STBL}/stsd", entry))


def no_moov() -> bytes:
    """Without the index."""
    return changed(video(), "moov", lambda _: None)


def wrong_sizes() -> bytes:
    """256 bytes a picture."""
    return _index("stsz", lambda given: given[:12] + struct.pack(">I", 256) * ((len(given) - 12) // 4))


def wrong_places() -> bytes:
    """Each 333 bytes further."""

    def moved(given: bytes) -> bytes:
        return given[:8] + b"".join(struct.pack(">I", at + 333) for (at,) in struct.iter_unpack(">I", given[8:]))

    return _index("stco", moved)


def places_outside() -> bytes:
    """Behind the end of the file."""
    return _index("stco", lambda given: given[:8] + struct.pack(">I", 2**31 - 1) * ((len(given) - 8) // 4))


def zero_duration() -> bytes:
    """Each picture is shown for no time."""
    return _index("stts", lambda _: table([(72, 0)]))


def ten_hours() -> bytes:
    """The last picture is shown for ten hours."""
    return _index("stts", lambda _: table([(71, 512), (1, 36000 * 12288)]))


def index_bomb() -> bytes:
    """An index that says that there are many pictures of one byte."""
    data = _index("stsz", lambda _: struct.pack(">III", 0, 1, MANY))
    return changed(data, f"{STBL}/stsc", lambda _: table([(1, MANY, 1)]))


def fragment_bomb() -> bytes:
    """A fragment that says that it has many pictures."""
    return changed(fragmented(), "moof/traf/trun", lambda _: struct.pack(">III", 1, MANY, 0))


def many_tracks() -> bytes:
    """The same track many times."""
    data = video(sound=False)
    track = box(b"trak", content(data, "moov/trak"))
    return changed(data, "moov", lambda inside: inside + track * 1500)


def deep() -> bytes:
    """Boxes within boxes."""
    inside = b""
    for _ in range(5000):
        inside = box(b"moov", inside)
    return box(b"ftyp", b"isom\0\0\2\0isom") + inside


def small_png() -> bytes:
    """A PNG that can be decoded."""
    return png(16, 16, bytes(16 * 49))


def pictures(form: str, codec: str, images: Sequence[bytes]) -> bytes:
    """A video of these pictures, whatever they claim."""
    return muxed(form, codec, (16, 16), images)


def large_mpeg2() -> bytes:
    """MPEG-2 whose headers say 16000 × 16000; FFmpeg finds the stream only while it looks at the first pictures."""
    data, low, high = bytearray(video("mpeg", codec="mpeg2video", sound=False)), 16000 & 0xFFF, 16000 >> 12
    for found in re.finditer(b"\0\0\1\xb3", bytes(data)):
        data[found.end() : found.end() + 3] = (low << 12 | low).to_bytes(3, "big")
    for found in re.finditer(b"\0\0\1\xb5[\x10-\x1f]", bytes(data)):
        at = found.end() - 1
        bits = int.from_bytes(data[at : at + 4], "big") & ~(15 << 13) | high << 15 | high << 13
        data[at : at + 4] = bits.to_bytes(4, "big")
    return bytes(data)


def large_vp8() -> bytes:
    """VP8 whose key frames say 16000 × 16000."""
    data = video("webm", codec="libvpx", sound=False)
    for found in re.finditer(re.escape(b"\x9d\x01\x2a"), data):
        data = patched(data, found.end(), struct.pack("<HH", 16000, 16000))
    return data


def _index(name: str, change: object) -> bytes:
    return changed(video(sound=False), f"{STBL}/{name}", change)
