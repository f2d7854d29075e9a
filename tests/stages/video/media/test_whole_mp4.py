"""Whether an MP4 file is whole."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from stages.video.media.mp4 import mp4_fault

pytestmark = pytest.mark.video


def box(kind: bytes, size: int, body: int) -> bytes:
    """An MP4 box that says `size` and holds `body` bytes."""
    return struct.pack(">I4s", size, kind) + bytes(body)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 24, 16), None),
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 0, 16), None),  # 0: to the end of the file
        (box(b"ftyp", 16, 8) + box(b"mdat", 24, 16), "no 'moov' box"),
        (box(b"ftyp", 16, 8) + box(b"moov", 16, 8) + box(b"mdat", 99, 16), "ends at byte 131"),
        (b"\x1aE\xdf\xa3 this is Matroska", None),
        (b"", None),
    ],
)
def test_what_is_missing_from_an_mp4(tmp_path: Path, data: bytes, expected: str | None) -> None:
    """Read from its outermost boxes; other files are not judged."""
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    found = mp4_fault(str(path))
    assert found is None if expected is None else found is not None and expected in found
