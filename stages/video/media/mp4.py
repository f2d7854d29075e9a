"""What is wrong with an MP4 or QuickTime file, from its boxes, without decoding. Pure Python."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from hpcurate.inside import open_inside, size_inside

_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")
_NEEDED = (b"moov", b"mdat", b"moof")
"""A file that ends within one of these lost something."""
_ENTRIES = ("moov", "trak", "mdia", "minf", "stbl", "stsd")
_ENCRYPTED = b"encv"


class _Box(NamedTuple):
    kind: bytes
    content: int
    """Where its content begins."""
    end: int
    """Where it ends: perhaps behind the end of the file."""


def mp4_fault(path: str) -> str | None:
    """Why the file cannot be used, or None: it looks whole, or it is no MP4 at all.

    Box layout: ISO/IEC 14496-12, section 4.2; encrypted pictures: ISO/IEC 23001-7.
    """
    size = size_inside(path)
    with open_inside(path) as file:
        seen = []
        for box in _boxes(file, 0, size):
            if not seen and box.kind not in _FIRST:
                return None
            seen.append(box.kind)
            if box.end > size and (box.kind in _NEEDED or b"moov" not in seen):
                return f"truncated: box {box.kind.decode('latin-1')!r} ends at byte {box.end}, the file at {size}"
        if seen and b"moov" not in seen:
            return "truncated: no 'moov' box, the recording or the copy was cut off"
        if any(box.kind == _ENCRYPTED for box in _inside(file, 0, size, _ENTRIES)):
            return "encrypted: its pictures cannot be decoded without a key"
    return None


def _inside(file: BinaryIO, start: int, end: int, path: tuple[str, ...]) -> Iterator[_Box]:
    """The boxes in all boxes at `path`; the entries of an `stsd` come after a count."""
    for box in _boxes(file, start, end):
        if not path:
            yield box
        elif box.kind == path[0].encode():
            content = box.content + (8 if path[0] == "stsd" else 0)
            yield from _inside(file, content, min(box.end, end), path[1:])


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[_Box]:
    """Each box of a part of the file, the last one perhaps past its end."""
    while start + 8 <= stop:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if length == 1:
            wide = file.read(8)
            length, content = struct.unpack(">Q", wide)[0] if len(wide) == 8 else stop, start + 16
        end = stop if length == 0 else start + max(length, 8)
        yield _Box(kind, content, end)
        start = end
