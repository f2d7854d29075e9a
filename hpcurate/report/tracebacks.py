"""Tracebacks of stages as whoever wrote them reads them: their own files, where they edit them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import attrs

_FROZEN = re.compile(r".*/code-[0-9a-f]{12}/")
_FRAME = re.compile(r'  File "(.+)", line \d+(?:, in .*)?')


@attrs.define(frozen=True)
class _Frame:
    """A line that names a file, and the lines below it."""

    path: str
    lines: tuple[str, ...]


def places(folder: str) -> Callable[[str], str]:
    """Where a file of a run's frozen code is edited: in the folder of the run's command, or where hpcurate is."""
    roots = [Path(folder)] if folder else []
    roots.append(Path(__file__).parents[2])

    def place(path: str) -> str:
        inside = _FROZEN.sub("", path)
        there = (str(root / inside) for root in roots if inside != path)
        return next((one for one in there if os.path.exists(one)), path)

    return place


def of_the_checkout(trace: str, place: Callable[[str], str]) -> list[str]:
    """Its lines with the paths that somebody edits, without the frames of the engine that led there."""
    head, frames, end = _parts(trace)
    kept = [frame for frame in frames if not _is_engine(frame.path)] or frames
    return [*head, *(line for frame in kept for line in _lines(frame, place)), *end]


def _lines(frame: _Frame, place: Callable[[str], str]) -> list[str]:
    first, *more = frame.lines
    return [first.replace(frame.path, place(frame.path)), *more]


def _is_engine(path: str) -> bool:
    """Whether it is code of hpcurate itself, frozen or where it is installed; not the stages that come with it."""
    own = str(Path(__file__).parents[1]) + os.sep
    return path.startswith(own) or _FROZEN.sub("", path).startswith("hpcurate/")


def _parts(trace: str) -> tuple[list[str], list[_Frame], list[str]]:
    """(what stands above the frames, frames, what the error says)."""
    head, frames, end = list[str](), list[_Frame](), list[str]()
    for line in trace.rstrip("\n").split("\n"):
        found = _FRAME.fullmatch(line)
        if found and not end:
            frames.append(_Frame(found[1], (line,)))
        elif frames and not end and line.startswith("  "):
            frames[-1] = attrs.evolve(frames[-1], lines=(*frames[-1].lines, line))
        else:
            (end if frames else head).append(line)
    return head, frames, end
