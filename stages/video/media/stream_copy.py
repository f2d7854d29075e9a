"""Write a piece of a video without encoding: packets are copied, so it begins and ends on key frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import attrs

from stages.video.media.container import demux, ffmpeg_errors, open_container
from stages.video.media.decode import open_video, packet_pts
from stages.video.media.encode import CONTAINER

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

COPYABLE = ("h264", "hevc", "av1", "vp9", "mpeg4")
"""Codecs of FFmpeg that MP4 holds and players expect there."""
COPYABLE_SOUND = ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac")


@attrs.define(frozen=True)
class FrameTimes:
    """Timestamps of the frames of a video."""

    times: tuple[int, ...]
    """Timestamps of all frames, sorted."""
    keys: tuple[int, ...]
    """Those of the key frames, sorted."""


@attrs.define(frozen=True)
class Piece:
    """What a clip becomes: frames [start, end) in timestamps; no end means to the end of the file."""

    start: int
    end: int | None
    copyable: bool = True
    """Whether it begins and ends on key frames."""


def piece_of(found: FrameTimes, start: int, end: int, reach: int) -> Piece | None:
    """Each end moved back to a key frame, if one lies within `reach`; else it stays where it is. Pure.

    What is decided about an end depends on that end alone, so neighbours meet: nothing twice, nothing lost. None if
    both ends move to one key frame, so that the neighbour before has all of it.
    """
    if not found.keys:
        return None
    first = _moved(found.keys, start, reach)
    if end > found.times[-1]:
        return Piece(first, None, first in found.keys)
    last = _moved(found.keys, end, reach)
    return Piece(first, last, {first, last} <= set(found.keys)) if last > first else None


def _moved(keys: Sequence[int], at: int, reach: int) -> int:
    key = keys[max(0, bisect_right(keys, at) - 1)]
    return key if at - key <= reach else at


def why_not_copyable(codec: str, rotation: int, sound: str | None) -> str | None:
    """Why a video with this picture and sound cannot be copied; None if it can. Pure."""
    if codec not in COPYABLE:
        return f"{codec} cannot be copied into MP4"
    if rotation:
        return "a rotated picture cannot be copied upright"
    if sound is not None and sound not in COPYABLE_SOUND:
        return f"its sound ({sound}) cannot be copied into MP4"
    return None


def read_frame_times(path: str, source: str) -> FrameTimes:
    """All timestamps of the picture, from the packets; nothing is decoded. Raises VideoError."""
    times, keys = [], []
    with open_video(path, source) as video:
        for packet in video.packets():
            pts = packet_pts(packet)
            if pts is not None:
                times.append(pts)
                if packet.is_keyframe:
                    keys.append(pts)
    return FrameTimes(tuple(sorted(times)), tuple(sorted(keys)))


def copy_piece(path: str, source: str, piece: Piece, target: str, *, audio: bool) -> int:
    """Write the packets of a piece of `path` to `target`; how many pictures. Raises VideoError."""
    import av

    with (
        ffmpeg_errors(source, "cannot be copied"),
        open_container(path, source) as given,
        av.open(target, "w", format="mp4", options=CONTAINER) as made,
    ):
        picture = given.streams.video[0]
        streams: dict[int, Any] = {picture.index: made.add_stream_from_template(picture)}
        if audio and given.streams.audio:
            streams[given.streams.audio[0].index] = made.add_stream_from_template(given.streams.audio[0])
        return _copy(given, picture, made, streams, piece)


def _copy(given: InputContainer, picture: VideoStream, made: Any, streams: dict[int, Any], piece: Piece) -> int:
    base = picture.time_base or Fraction(1)
    origin, count = piece.start * base, 0
    given.seek(piece.start, stream=picture, backward=True)
    for packet in _inside(given, picture, list(streams), piece, base):
        unit = packet.time_base
        shift = round(origin / unit)
        packet.pts = packet.pts - shift
        packet.dts = packet.dts - shift if packet.dts is not None else packet.pts
        count += packet.stream_index == picture.index
        packet.stream = streams[packet.stream_index]
        made.mux(packet)
    return count


def _inside(
    given: InputContainer, picture: VideoStream, indices: Sequence[int], piece: Piece, base: Fraction
) -> Iterator[Any]:
    """Packets of the piece. Pictures that lead over from or to a neighbour's key frame are left out."""
    over = False
    end = None if piece.end is None else piece.end * base
    for packet in demux(given, *(given.streams[index] for index in indices)):
        if packet.pts is None:
            continue
        if packet.stream_index == picture.index:
            over = over or (packet.is_keyframe and piece.end is not None and packet.pts >= piece.end)
            if not over and packet.pts >= piece.start:
                yield packet
        else:
            at = packet.pts * packet.time_base
            if piece.start * base <= at and (end is None or at < end):
                yield packet
            if over and end is not None and at >= end:
                return


def picture_size(path: str, source: str) -> tuple[int, int]:
    """Pixels of a written clip."""
    with open_container(path, source) as made:
        stream = made.streams.video[0]
        return stream.width, stream.height
