"""The curves of a program in work: a file to which it adds a line of JSON for each value. Python 3.9.

`{"metric": "loss", "value": 0.3, "step": 10}`. The file lies beside the checkpoint and so outlives attempts: where a
step was done twice, the later value counts. A line that is none, such as half a one of a program that was killed, is
left out and named.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

METRICS = "metrics.jsonl"
"""Its name, where it lies beside a checkpoint. It grows with each attempt, and is no progress."""
LINE = '{"metric": "loss", "value": 0.3, "step": 10}'
POINTS, NAMES, LONGEST = 4000, 100, 4096
"""Of one curve: a longer one loses every second point. Curves of one task. Bytes of a line."""
TAIL = 64 * 1024
"""Bytes at the end of a file that are read for the latest values."""
LARGEST = 2**53
"""Of whole numbers, as in `Stage.log`."""


class Curves(msgspec.Struct):
    """What was read so far."""

    points: dict[str, dict[int, float]] = msgspec.field(default_factory=dict)
    """Name → step → value, of values that have a step."""
    single: dict[str, float] = msgspec.field(default_factory=dict)
    """Name → the last of values that have none."""
    bad: int = 0
    first_bad: str = ""

    def add(self, number: int, line: bytes) -> None:
        """One line, the `number`-th of the file."""
        found = _read(line)
        if isinstance(found, str):
            self.bad += 1
            self.first_bad = self.first_bad or f"line {number}: {found}"
            return
        name, value, step = found
        if name not in self.points and name not in self.single and len(self.points) + len(self.single) >= NAMES:
            return
        if step is None:
            self.single[name] = value
            return
        curve = self.points.setdefault(name, {})
        curve.pop(step, None)
        curve[step] = value
        if len(curve) > POINTS:
            self.points[name] = dict(sorted(curve.items())[::2])
            self.points[name][step] = value

    def latest(self) -> dict[str, tuple[int | None, float]]:
        """Name → step, or None, and value that was written last."""
        ends = {name: next(reversed(curve.items())) for name, curve in self.points.items()}
        return {**{name: (None, value) for name, value in self.single.items()}, **ends}


def read_curves(path: str) -> Curves:
    """All of a file; nothing where there is none. Raises OSError."""
    found = Curves()
    if _is_file(path):
        with open(path, "rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
                found.add(number, line)
    return found


def latest_values(path: str) -> dict[str, tuple[int | None, float]]:
    """What a program wrote last, from the end of the file alone; nothing where there is none, or it cannot be read."""
    found = Curves()
    with suppress(OSError):
        if _is_file(path):
            with open(path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                lines = file.read(TAIL).splitlines()
            for line in lines:
                found.add(0, line)
    return found.latest()


def _is_file(path: str) -> bool:
    """A pipe would be waited for."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _read(line: bytes) -> str | tuple[str, float, int | None]:
    """(name, value, step) of a line, or why it is none."""
    try:
        plain = json.loads(line)
        name, value, step = plain["metric"], plain["value"], plain.get("step")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"expected {LINE}, got {line[:80]!r}"
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 100:
        return f"a metric has a name of 1 to 100 printable characters, got {name!r:.80}"
    if not (_is_number(value) and (step is None or _is_step(step))):
        return f"expected a number as value, and a whole one as step, got {line[:80]!r}"
    number = value if isinstance(value, float) or abs(value) <= LARGEST else math.copysign(math.inf, value)
    return name, float(number), None if step is None else int(step)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_step(step: Any) -> bool:
    return _is_number(step) and abs(step) <= LARGEST and step == int(step)


def numbered(curves: Curves) -> Iterable[tuple[str, float, int | None]]:
    """All that was read, in order: name, value, step."""
    for name, value in curves.single.items():
        yield name, value, None
    for name, curve in curves.points.items():
        for step, value in sorted(curve.items()):
            yield name, value, step
