"""Pictures as a clip shows them: upright, with square pixels, even in size, 8 bit 4:2:0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

TURNS = {
    0: (),
    90: (("transpose", "clock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "cclock"),),
}
"""Rotation in degrees clockwise → FFmpeg filters that rotate the pixels."""


class Shaper:
    """Gives the frames of one video the shape of its clips.

    A size that is one pixel too large is cropped (last row or column); any other is scaled, bicubic. Frames
    that already fit pass untouched. The chain is rebuilt when the video changes its size or pixel format.
    """

    def __init__(self, width: int, height: int, rotation: int) -> None:
        self._size = (width, height)
        self._rotation = rotation
        self._given: tuple[object, ...] = ()
        self._graph: Graph | None = None

    def shape(self, frame: VideoFrame) -> VideoFrame:
        """The frame in its new shape, with its timestamp and time base."""
        given = (frame.width, frame.height, frame.format.name, frame.color_range)
        if given != self._given:
            self._given, self._graph = given, self._build(frame)
        if self._graph is None:
            return frame
        self._graph.vpush(frame)
        shaped = self._graph.vpull()
        shaped.pts, shaped.time_base = frame.pts, frame.time_base
        return shaped

    def _build(self, frame: VideoFrame) -> Graph | None:
        steps = filters((frame.width, frame.height), self._size, self._rotation, frame.format.name)
        if not steps:
            return None
        from av.filter import Graph

        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format.name, time_base=frame.time_base
            ),
            *(graph.add(name, arguments or None) for name, arguments in steps),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


def filters(given: tuple[int, int], wanted: tuple[int, int], rotation: int, pix_fmt: str) -> list[tuple[str, str]]:
    """FFmpeg filters, with arguments, from a stored picture to the wanted one; none if it fits. Pure."""
    steps = list(TURNS[rotation])
    width, height = reversed(given) if rotation in (90, 270) else given
    over = (width - wanted[0], height - wanted[1])
    if over != (0, 0):
        size = f"{wanted[0]}:{wanted[1]}"
        crop = over[0] in (0, 1) and over[1] in (0, 1)
        steps.append(("crop", f"{size}:0:0") if crop else ("scale", f"{size}:flags=bicubic+accurate_rnd"))
    if pix_fmt != "yuv420p":
        steps += [("scale", "out_range=tv:flags=bicubic+accurate_rnd"), ("format", "yuv420p")]
    if steps and any(name == "scale" for name, _ in steps):
        steps.append(("setsar", "1"))
    return steps
