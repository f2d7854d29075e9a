"""Whether an MP4 or QuickTime file is whole, from its outermost boxes, without decoding. Pure Python."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")


def mp4_fault(path: str) -> str | None:
    """What is missing from the file, or None: it looks whole, or it is no MP4 at all.

    Box layout: ISO/IEC 14496-12, section 4.2.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        seen = []
        for kind, end in _boxes(file, size):
            if not seen and kind not in _FIRST:
                return None
            seen.append(kind)
            if end > size:
                return f"truncated: box {kind.decode('latin-1')!r} ends at byte {end}, the file at {size}"
    if seen and b"moov" not in seen:
        return "truncated: no 'moov' box, the recording or the copy was cut off"
    return None


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Type and end offset of each outermost box, the last one perhaps past the end of the file."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            wide = file.read(8)
            length = struct.unpack(">Q", wide)[0] if len(wide) == 8 else size
        end = size if length == 0 else start + max(length, 8)
        yield kind, end
        start = end
