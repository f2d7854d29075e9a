"""What all benchmarks share: ways in turns, medians, a Markdown table of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import attrs


@attrs.define(frozen=True)
class Way:
    """One way of doing the work, and what it took in each round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of its rounds."""
        return median(self.seconds)


def in_turns(ways: Mapping[str, Callable[[], float]], repeat: int) -> list[Way]:
    """Each way once, then each once more: a machine that becomes slower does so for all. A way returns its seconds."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            took[name].append(way())
    return [Way(name, tuple(seconds)) for name, seconds in took.items()]


def table(ways: Sequence[Way], peer: str) -> str:
    """A Markdown table: rounds, median, and how often the way fits into the time of the peer (higher is better)."""
    base = next(way.median for way in ways if way.name == peer)
    rows = ["| way | rounds, s | median, s | of the peer's speed |", "|---|---|---|---|"]
    for way in ways:
        rounds = ", ".join(f"{one:.2f}" for one in way.seconds)
        rows.append(f"| {way.name} | {rounds} | {way.median:.2f} | {base / way.median:.2f} |")
    return "\n".join(rows)
