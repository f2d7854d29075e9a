"""Logs that grow while they are read: the last lines of each, then what comes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 1 << 16


class Growing:
    """Remembers how far each log has been read."""

    def __init__(self, first_lines: int | None = None) -> None:
        """`first_lines`: so many of the last lines of those that are there at the first look; None: all of them."""
        self._first_lines = first_lines
        self._read: dict[Path, int] = {}
        self._looked = False

    def news(self, paths: Iterable[Path], *, to_the_end: bool = False) -> Iterator[tuple[Path, str]]:
        """What was written since the last look, log by log; whole lines, but for the last look of all."""
        for path in paths:
            if path not in self._read:
                self._read[path] = 0 if self._looked or self._first_lines is None else start_of(path, self._first_lines)
            text = self._more(path, to_the_end)
            if text:
                yield path, text
        self._looked = True

    def _more(self, path: Path, to_the_end: bool) -> str:
        with suppress(FileNotFoundError), open(path, "rb") as file:
            file.seek(self._read[path])
            data = file.read()
            whole = data if to_the_end else data[: data.rfind(b"\n") + 1]
            self._read[path] += len(whole)
            return whole.decode(errors="backslashreplace")
        return ""


def start_of(path: Path, lines: int) -> int:
    """Where the last lines of a file begin; reads hardly more of it than these."""
    with open(path, "rb") as file:
        end = at = file.seek(0, os.SEEK_END)
        tail = b""
        while at > 0 and tail.count(b"\n") <= lines:
            at = max(0, at - BLOCK)
            file.seek(at)
            tail = file.read(end - at)
    start = len(tail.removesuffix(b"\n"))
    for _ in range(lines):
        start = tail.rfind(b"\n", 0, max(start, 0))
    return min(at + start + 1, end)
