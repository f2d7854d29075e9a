"""`hpcurate watch`: a run, live: progress, rate, time left, workers, what waits and why, newest failures."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from hpcurate.cli.verbs.common import columns, printable, run_parser, the_run
from hpcurate.cli.verbs.why import queue_lines, queued
from hpcurate.report.dead_letters import Letter, failure_line, letters_of
from hpcurate.runs.driver import Driver, look_with
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, make_launcher
from hpcurate.runs.state import RunState

EVERY_S = 2.0
"""Between two looks at the store."""
ASK_S = 30.0
"""Between two questions to the queue."""
WINDOW_S = 600.0
"""Rates are those of the last ten minutes."""
FAILURES = 5
"""Newest failures that are shown."""
WIDTH = 24
"""Characters of a bar."""

Sample = tuple[float, int]
"""(seconds on a monotonic clock, committed shards)."""


@attrs.define(frozen=True, kw_only=True)
class Watched:
    """What one refresh shows."""

    summary: dict[str, Any]
    samples: dict[str, tuple[Sample, ...]]
    jobs: tuple[JobRow, ...]
    failures: tuple[Letter, ...]


def verb(argv: list[str]) -> int:
    """Show it until it ends; the exit status is then the state's. Ctrl-C leaves, and the run goes on."""
    parser = run_parser("watch", "a run, live; ends with the run, Ctrl-C leaves it running")
    parser.add_argument("--once", action="store_true", help="show it once")
    options = parser.parse_args(argv[1:])
    watcher = Watcher(the_run(options))
    try:
        with _screen() as draw:
            while True:
                seen = watcher.look()
                draw(watch_lines(seen))
                state = RunState(seen.summary["state"])
                if options.once or state is not RunState.RUNNING:
                    return state.exit_status
                time.sleep(EVERY_S)
    except KeyboardInterrupt:
        print(f"{watcher.run.name} goes on; hpcurate watch {watcher.run.name} shows it again", file=sys.stderr)
        return 0


class Watcher:
    """Remembers between two looks what rates and newest failures need."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._frozen = run.frozen()
        self._driver = Driver(run, make_launcher(self._frozen.launcher), stays=True)
        self._samples: dict[str, collections.deque[Sample]] = {}
        self._known: set[tuple[str, str]] = set()
        self._failures: collections.deque[Letter] = collections.deque(maxlen=FAILURES)
        self._asked = float("-inf")
        self._jobs: tuple[JobRow, ...] = ()

    def look(self) -> Watched:
        """Look at store and queue."""
        seen = look_with(self._driver)
        now = time.monotonic()
        for name, counts in seen["stages"].items():
            samples = self._samples.setdefault(name, collections.deque())
            samples.append((now, counts["shards_done"]))
            while samples[0][0] < now - WINDOW_S:
                samples.popleft()
        if self._driver.launcher.kind != "slurm" or now - self._asked >= ASK_S:
            self._asked, self._jobs = now, tuple(queued(self.run))
        self._note_failures()
        return Watched(
            summary=seen,
            samples={name: tuple(samples) for name, samples in self._samples.items()},
            jobs=self._jobs if seen["state"] == RunState.RUNNING.value else (),
            failures=tuple(self._failures),
        )

    def _note_failures(self) -> None:
        observer = self._driver.observer
        for stage in self._frozen.pipeline.stages:
            for shard in observer.done(stage):
                if shard.failed and (stage.name, shard.shard) not in self._known:
                    self._known.add((stage.name, shard.shard))
                    self._failures.extend(letters_of(stage.name, observer.folder(stage), shard.shard))


# -- rendering, pure --------------------------------------------------------------------------------


def watch_lines(seen: Watched) -> list[str]:
    """The whole screen."""
    summary = seen.summary
    reason = f": {summary['reason']}" if summary["reason"] else ""
    header = ("stage", "", "shards", "in", "out", "dropped", "failed", "shards/min", "left")
    rows = [_row(name, counts, seen.samples.get(name, ())) for name, counts in summary["stages"].items()]
    lines = [f"{summary['run']}  {summary['state']}{reason}", "", *columns(header, rows), *queue_lines(list(seen.jobs))]
    if seen.failures:
        lines += ["", "newest failures:"]
        lines += [failure_line(one) for one in seen.failures]
    return lines + ["", f"output: {summary['output']}"] + ([f"next: {summary['next']}"] if _ended(summary) else [])


def _ended(summary: dict[str, Any]) -> bool:
    return bool(summary["next"]) and summary["state"] != RunState.RUNNING.value


def _row(name: str, counts: dict[str, Any], samples: Sequence[Sample]) -> tuple[str, ...]:
    total, done = counts["shards"], counts["shards_done"]
    rate = per_second(samples)
    left = time_left(rate, total, done)
    return (
        name,
        bar(done, total),
        "?" if total is None else f"{done}/{total}",
        *(str(counts[key]) for key in ("in", "out", "dropped", "failed")),
        f"{rate * 60:.1f}" if rate else "",
        "" if total is None or done == total else ("?" if left is None else told_seconds(left)),
    )


def bar(done: int, total: int | None, width: int = WIDTH) -> str:
    """`████░░░░`; empty while the number of shards is not known."""
    full = 0 if not total else int(width * done / total)
    if total == 0:
        full = width
    return "█" * full + "░" * (width - full)


def per_second(samples: Sequence[Sample]) -> float | None:
    """Shards a second over the samples; None while nothing is known."""
    if len(samples) < 2 or samples[-1][0] <= samples[0][0] or samples[-1][1] <= samples[0][1]:
        return None
    return (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])


def time_left(rate: float | None, total: int | None, done: int) -> float | None:
    """Seconds until the stage's last shard at this rate; None while nothing is known."""
    return None if not rate or total is None else (total - done) / rate


def told_seconds(seconds: float) -> str:
    """`42 s`, `5 min`, `3.2 h`, `2.1 d`."""
    for unit, size, digits in (("d", 86400.0, 1), ("h", 3600.0, 1), ("min", 60.0, 0)):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


# -- drawing ----------------------------------------------------------------------------------------


@contextmanager
def _screen() -> Iterator[Any]:
    """On a terminal drawn in place; elsewhere a block whenever something changed."""
    if not sys.stdout.isatty():
        last: list[list[str]] = [[]]

        def block(lines: list[str]) -> None:
            if lines != last[0]:
                print("\n".join(map(printable, lines)) + "\n", flush=True)
                last[0] = lines

        yield block
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda lines: live.update(Text("\n".join(map(printable, lines))), refresh=True)
