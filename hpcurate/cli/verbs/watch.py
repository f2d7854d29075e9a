"""`hpcurate watch`: a run, live: progress, rate, time left, workers, what waits and why, newest dead letters."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from hpcurate.cli.terminal import bar, following, live_screen, output_line, say, table
from hpcurate.cli.verbs.common import (
    dead_letter_line,
    failed_count,
    gpu_lines,
    heading,
    queue_lines,
    run_parser,
    the_run,
    work_lines,
)
from hpcurate.report.rates import Sample, percent, seconds_left, shards_per_second
from hpcurate.report.watcher import Snapshot, Watcher
from hpcurate.runs.commands import verb as verb_line
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import StageReport
from hpcurate.units import duration

EVERY_S = 2.0
"""Between two looks at the store."""
HEADER = ("stage", "", "done", "shards", "in", "out", "dropped", "failed", "shards/min", "left")


def parser() -> argparse.ArgumentParser:
    """See `hpcurate watch --help`."""
    made = run_parser("watch", "a run, live; ends with the run, Ctrl-C leaves it running")
    made.add_argument("--once", action="store_true", help="show it once and exit")
    return made


def verb(argv: list[str]) -> int:
    """Show it until it ends; the exit status is then the state's. Ctrl-C stops watching, not the run."""
    options = parser().parse_args(argv[1:])
    watcher = Watcher(the_run(options))
    try:
        return _watch(watcher, once=options.once)
    except KeyboardInterrupt:
        again = verb_line("watch", watcher.run.name, watcher.run.store.root)
        say(f"{watcher.run.name} is not stopped; to watch it again: {again}")
        return 0


def _watch(watcher: Watcher, *, once: bool) -> int:
    with live_screen() as draw:
        while True:
            snapshot = watcher.look()
            draw(watch_lines(snapshot), snapshot.about)
            if once or snapshot.report.state is not RunState.RUNNING:
                return snapshot.report.state.exit_status
            time.sleep(EVERY_S)


def watch_lines(snapshot: Snapshot) -> list[str]:
    """The whole screen. Pure."""
    report = snapshot.report
    rows = [_row(name, stage, snapshot.samples.get(name, ())) for name, stage in report.stages.items()]
    lines = [heading(report), "", *table(HEADER, rows, numbers=True), *work_lines(report), *gpu_lines(report)]
    lines += queue_lines(snapshot.jobs)
    if snapshot.newest:
        lines += ["", "newest dead letters:", *map(dead_letter_line, snapshot.newest)]
    steps = [] if report.state is RunState.RUNNING else following(report)
    ends = [*output_line(report), *steps]
    return [*lines, "", *ends] if ends else lines


def _row(name: str, stage: StageReport, samples: Sequence[Sample]) -> tuple[str, ...]:
    total, share, rate = stage.shards, stage.progress, shards_per_second(samples)
    return (
        name,
        bar(share or 0.0, None if share is None else 1.0),
        "" if share is None else percent(share),
        "?" if total is None else f"{stage.shards_done}/{total}",
        *map(str, (stage.tasks_in, stage.tasks_out, stage.dropped)),
        failed_count(stage),
        f"{rate * 60:.1f}" if rate else "",
        _time_left(stage, samples),
    )


def _time_left(stage: StageReport, samples: Sequence[Sample]) -> str:
    """As it went while we looked; before that, as long as what is done took."""
    if stage.shards is None or stage.complete:
        return ""
    left = seconds_left(samples)
    left = stage.left_s if left is None else left
    return "?" if left is None else duration(left)
