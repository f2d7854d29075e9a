"""Videos that are damaged at random: the same for the same number."""

from __future__ import annotations

import io
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import av

from tests.stages.broken import whole
from tests.stages.broken.media import OPTIONS, video

SMALL = {"size": (64, 48), "frames": 52}
EXTREME = (0, 1, 2, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NAMES = re.compile(
    b"moov|trak|mdia|minf|stbl|stsd|stts|stss|ctts|stsc|stsz|stco|mdhd|tkhd|mvhd|elst|edts|avcC|mp4a|esds|avc1|moof|"
    b"traf|trun|tfhd|tfdt|mvex|trex|dref|mdat|strh|strf|hdrl|strl|movi|idx1|avih|LIST|JUNK"
)
"""Boxes and chunks: the size is before the name, in AVI behind it."""


def seeds(videos: Path | None = None) -> dict[str, bytes]:
    """Whole videos of two seconds, by name: one of each container, and the beginnings of real ones."""
    made = {
        "a.mp4": video(**SMALL), "fragments.mp4": whole.fragmented(), "a.mov": video("mov", **SMALL),
        "a.mkv": video("matroska", **SMALL), "a.webm": video("webm", codec="libvpx", sound=False, **SMALL),
        "a.ts": video("mpegts", **SMALL), "a.avi": video("avi", codec="mpeg4", **SMALL), "a.flv": video("flv", **SMALL),
        "a.mpg": video("mpeg", codec="mpeg2video", **SMALL), "hevc.mp4": video(codec="libx265", options={"x265-params": "log-level=none"}, **SMALL),
        "vp9.mkv": video("matroska", codec="libvpx-vp9", **SMALL),
    }  # fmt: skip
    return made | {path.name: beginning(path) for path in (sorted(videos.glob("*.mp4")) if videos else ())}


def beginning(path: Path, seconds: float = 2.2) -> bytes:
    """The first packets of a real video, copied."""
    file = io.BytesIO()
    with av.open(str(path)) as given, av.open(file, "w", format="mp4", options=OPTIONS) as out:
        streams = {
            one.index: out.add_stream_from_template(one) for one in (*given.streams.video[:1], *given.streams.audio[:1])
        }
        for packet in given.demux([given.streams[index] for index in streams]):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return file.getvalue()


def flip(data: bytearray, rng: random.Random) -> None:
    """Single bits, few or many."""
    for _ in range(rng.choice((1, 3, 10, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def noise(data: bytearray, rng: random.Random) -> None:
    """A block of random bytes."""
    at, size = a_block(data, rng)
    data[at : at + size] = rng.randbytes(size)


def zeros(data: bytearray, rng: random.Random) -> None:
    """A block that was never written."""
    at, size = a_block(data, rng)
    data[at : at + size] = bytes(size)


def move(data: bytearray, rng: random.Random) -> None:
    """A block in another place."""
    at, size = a_block(data, rng)
    block = data[at : at + size]
    del data[at : at + size]
    to = rng.randrange(len(data) + 1)
    data[to:to] = block


def repeat(data: bytearray, rng: random.Random) -> None:
    """A block twice."""
    at, size = a_block(data, rng)
    data[at:at] = data[at : at + size]


def lose(data: bytearray, rng: random.Random) -> None:
    """A block that is not there."""
    at, size = a_block(data, rng)
    del data[at : at + size]


def cut(data: bytearray, rng: random.Random) -> None:
    """Without the end."""
    del data[rng.randrange(len(data)) :]


def resize(data: bytearray, rng: random.Random) -> None:
    """Another size of a box."""
    found = list(NAMES.finditer(data))
    if found:
        at = max(0, rng.choice(found).start() + rng.choice((-4, -4, 4)))
        size = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = struct.pack(">I", rng.choice((*EXTREME, size + rng.randrange(-9, 9) & 0xFFFFFFFF)))


def number(data: bytearray, rng: random.Random) -> None:
    """An extreme number in the content of a box."""
    found = list(NAMES.finditer(data))
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.choice(found).end() + rng.randrange(0, 64) if found else rng.randrange(len(data))
        data[at : at + 4] = struct.pack(rng.choice((">I", "<I")), rng.choice(EXTREME))


def a_block(data: bytearray, rng: random.Random) -> tuple[int, int]:
    """Where it begins, and its size."""
    return rng.randrange(max(1, len(data))), rng.choice((1, 2, 4, 16, 64, 188, 512, 4096))


KINDS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip, flip, noise, zeros, move, repeat, lose, cut, resize, resize, number, number, number,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """(how, the file) after one to three kinds of damage."""
    kinds, made = rng.choices(KINDS, k=rng.choice((1, 1, 1, 2, 3))), bytearray(data)
    for kind in kinds:
        if made:
            kind(made, rng)
    return "-".join(kind.__name__ for kind in kinds), bytes(made)


def write(folder: Path, count: int, seed: int, videos: Path | None = None) -> None:
    """So many damaged files below the folder; each name says what it was made of, and how."""
    folder.mkdir(parents=True, exist_ok=True)
    whole_ones = sorted(seeds(videos).items())
    for each in range(count):
        rng = random.Random(f"{seed}.{each}")
        name, data = whole_ones[each % len(whole_ones)]
        stem, _, suffix = name.rpartition(".")
        how, made = damaged(data, rng)
        (folder / f"{seed}.{each:05}-{stem}-{how}.{suffix}").write_bytes(made)
