"""Files that name other files: one that is a video, beside the input, and a URL where a video can be had."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs

from tests.stages.broken.media import TRACK, box, changed, video


@attrs.define(frozen=True)
class Place:
    """Where an input is made, and what it may refer to."""

    path: Path
    other: Path
    """A video that is not among the inputs."""
    url: str
    """Where that video can be fetched."""


def hls(name: str) -> bytes:
    """A playlist."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{name}\n#EXT-X-ENDLIST\n".encode()


def dash(place: Place) -> bytes:
    """A description of an adaptive stream."""
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"'
        f' bandwidth="1"><BaseURL>{place.url}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    ).encode()


def concat(place: Place) -> bytes:
    """A list for FFmpeg's concat."""
    return f"ffconcat version 1.0\nfile '{place.other}'\n".encode()


def sdp(_: Place) -> bytes:
    """A session of a network."""
    lines = [
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=x",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=video 5004 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
    ]
    return "\r\n".join(lines).encode()


def to_url(place: Place) -> bytes:
    """A track whose data are said to be at a URL."""
    entry = box(b"url ", bytes(4), place.url.encode() + b"\0")
    return _data_in(entry)


def to_alias(place: Place) -> bytes:
    """A track whose data are in another file, by an alias of the Macintosh with an absolute path (its type 2)."""
    name = str(place.other).encode()
    name += b"\0" * (len(name) % 2)
    path = struct.pack(">HH", 2, len(name)) + name + struct.pack(">HH", 0xFFFF, 0)
    record = (
        bytes(10) + b"\0" + bytes(27) + bytes(12) + b"\0" + bytes(63) + bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    )
    return _data_in(box(b"alis", bytes(4), record, path))


def _data_in(entry: bytes) -> bytes:
    reference = struct.pack(">II", 0, 1) + entry
    return changed(video("mov", sound=False), f"{TRACK}/mdia/minf/dinf/dref", lambda _: reference)
