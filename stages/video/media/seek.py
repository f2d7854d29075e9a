"""Read a stream from a key frame before a time, in containers whose seeking is only roughly right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet


def packets_before(
    container: InputContainer, stream: Any, pts: int, read: Callable[[], Iterator[Packet]]
) -> Iterator[Packet] | None:
    """Packets of `stream`, as `read` gives them, from a key frame at or before `pts` on.

    A seek may land behind its target (reordered frames, MPEG-TS): then it goes back further and further.
    None if no seek lands early enough, or a damaged index allows none; the container must then be reopened and read
    from its beginning, since in MPEG-TS not even a seek to the beginning gets there.
    """
    from av.error import FFmpegError

    second = max(1, int(1 / stream.time_base)) if stream.time_base else 1
    back = 0
    while pts - back > (stream.start_time or 0):
        try:
            container.seek(pts - back, stream=stream, backward=True)
        except FFmpegError:
            return None
        packets = itertools.dropwhile(lambda packet: not packet.is_keyframe, read())
        first = next(packets, None)
        at = None if first is None else packet_time(first)
        if first is not None and at is not None and at <= pts:
            return itertools.chain([first], packets)
        back = max(back * 4, second)
    return None


def packet_time(packet: Packet) -> int | None:
    """Timestamp of a packet: when it is shown, or where the container keeps none, when it is decoded."""
    return packet.pts if packet.pts is not None else packet.dts
