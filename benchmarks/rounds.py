"""What all benchmarks share: their options, processes that are measured, ways in turns, medians, Markdown tables."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import attrs

# -- options --------------------------------------------------------------------------------------


def parser(
    doc: str | None, *, quick: Callable[[], Mapping[str, float]] | None = None, repeat: int = 3, folder: bool = False
) -> argparse.ArgumentParser:
    """The options that benchmarks have in common: --repeat unless it is 0, --quick, --dir."""
    found = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeat:
        found.add_argument("--repeat", type=int, default=repeat, help=f"rounds in turns (default: {repeat})")
    if quick:
        found.add_argument("--quick", action=_Quick, nargs=0, const=quick, help="small, ratios only, then exit")
    if folder:
        found.add_argument("--dir", type=Path, help="where to work (default: a temporary folder)")
    return found


class _Quick(argparse.Action):
    """Prints the ratios and leaves, as --help does."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        print("\n".join(f"{name}: {ratio:.2f}" for name, ratio in self.const().items()))
        parser.exit()


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hpcurate-bench-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of processes: with bytecode in files, as where people work."""

# -- ways -----------------------------------------------------------------------------------------


_SPAWN = """import os, sys, time
began = time.perf_counter()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
took = time.perf_counter() - began
os.write(int(sys.argv[1]), b"%f %f %d" % (took, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)))
"""
"""Starts a process from a small one: its peak of memory counts from that of the process that starts it."""


@attrs.define
class Command:
    """A process as a way: each call runs it and returns its seconds, whole. SystemExit if it fails."""

    words: Sequence[str]
    environment: Mapping[str, str] = ENVIRONMENT
    folder: Path | None = None
    before: Callable[[], object] = lambda: None
    """What makes it ready, and is not timed."""
    statuses: Sequence[int] = (0,)
    """Exit statuses that are no failure."""
    mb: float = 0.0
    """Peak of its memory in any round."""
    output: str = ""
    """What it printed last."""

    def __call__(self) -> float:
        """Run it once."""
        self.before()
        read, write = os.pipe()
        with os.fdopen(read) as found:
            spawn = [sys.executable, "-I", "-S", "-c", _SPAWN, str(write), *self.words]
            process = subprocess.Popen(
                spawn, env=self.environment, cwd=self.folder, pass_fds=[write],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
            os.close(write)
            self.output, _ = process.communicate()
            seconds, mb, status = map(float, found.read().split())
        if status not in self.statuses:
            raise SystemExit(f"{' '.join(self.words)}: exit status {status:.0f}\n{self.output}")
        self.mb = max(self.mb, mb)
        return seconds


def in_a_folder(way: Callable[[Path], float], parent: Path | None = None) -> float:
    """In one of its own, with nothing left to be written by the way before."""
    os.sync()
    with scratch(parent) as folder:
        return way(folder)


def work_seconds(store: Path, stage: str) -> float:
    """From the first claim of a stage to its last commit, by the times of the files."""
    claims = [path.stat().st_mtime for path in store.glob(f"stages/{stage}-*/claims/*/[!.]*")]
    return last_commit(store, stage) - min(claims)


def last_commit(store: Path, stage: str) -> float:
    """When it was, in seconds since the epoch."""
    return max(path.stat().st_ctime for path in store.glob(f"stages/{stage}-*/shards/*/[!.]*"))


# -- rounds and tables ----------------------------------------------------------------------------


@attrs.define(frozen=True)
class Way:
    """One way of doing the work, and what it took in each round."""

    name: str
    seconds: tuple[float, ...]
    mb: float = 0.0
    """Peak of memory, of a `Command`."""

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
    return [Way(name, tuple(took[name]), way.mb if isinstance(way, Command) else 0.0) for name, way in ways.items()]


def ratios(ways: Sequence[Way], peer: str) -> dict[str, float]:
    """How often each way fits into the time of the peer: higher is better."""
    base = next(way.median for way in ways if way.name == peer)
    return {way.name: base / way.median for way in ways}


def table(ways: Sequence[Way], peer: str) -> str:
    """A Markdown table: rounds, median, ratio to the peer, and peak of memory where it was measured."""
    speeds, with_mb = ratios(ways, peer), any(way.mb for way in ways)
    rows = ["| way | rounds, s | median, s | of the peer's speed |", "|---|---|---|---|"]
    rows = [rows[0] + " peak, MB |", rows[1] + "---|"] if with_mb else rows
    for way in ways:
        row = f"| {way.name} | {', '.join(map(_seconds, way.seconds))} | {_seconds(way.median)} "
        rows.append(f"{row}| {speeds[way.name]:.2f} |" + (f" {_mb(way)} |" if with_mb else ""))
    return "\n".join(rows)


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _mb(way: Way) -> str:
    return f"{way.mb:.0f}" if way.mb else "–"


def rates(ways: Sequence[Way], peer: str, unit: str, amounts: Mapping[str, float]) -> str:
    """The same in units a second, where each way did so many."""
    per_second = {way.name: amounts[way.name] / way.median for way in ways}
    rows = [f"| way | rounds, {unit}/s | median | of the peer's rate |", "|---|---|---|---|"]
    for way in ways:
        rounds = ", ".join(_rate(amounts[way.name] / one) for one in way.seconds)
        rate = per_second[way.name]
        rows.append(f"| {way.name} | {rounds} | {_rate(rate)} | {rate / per_second[peer]:.2f} |")
    return "\n".join(rows)


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}".replace(",", " ")
