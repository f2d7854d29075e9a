"""`hpcurate status`: where a run stands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from hpcurate.cli.terminal import following, output_line, show, show_json, table
from hpcurate.cli.verbs.common import (
    dead_letter_line,
    failed_count,
    gpu_lines,
    heading,
    note_lines,
    run_parser,
    the_run,
    work_lines,
)
from hpcurate.report.amounts import words
from hpcurate.report.logged import described
from hpcurate.report.rates import percent
from hpcurate.report.run_view import RunView
from hpcurate.report.staging import Staged
from hpcurate.report.status import Status, status_of
from hpcurate.runs.summary import RunReport, StageReport
from hpcurate.store.stats import sum_amounts
from hpcurate.units import bytes_text, duration, plural

LOGGED = 10
"""Names of one stage that are shown."""
HEADER = ("stage", "done", "shards", "in", "out", "dropped", "failed", "seconds", "left")
YIELD = ("in", "out", "dropped", "left out", "failed")


def parser() -> argparse.ArgumentParser:
    """See `hpcurate status --help`."""
    made = run_parser("status", "where a run stands")
    made.add_argument("--json", action="store_true", help="print the content of summary.json")
    return made


def verb(argv: list[str]) -> int:
    """Print it; the exit status is the state's."""
    options = parser().parse_args(argv[1:])
    view = RunView(the_run(options))
    if options.json:
        report = view.look()
        show_json(report.plain())
    else:
        status = status_of(view)
        report = status.report
        show(status_lines(status))
    return report.state.exit_status


def status_lines(status: Status) -> list[str]:
    """What is printed. Pure."""
    report = status.report
    lines = [heading(report), "", *table(HEADER, (_row(*item) for item in report.stages.items()), numbers=True)]
    lines += yield_lines(report) + work_lines(report) + note_lines(report) + gpu_lines(report)
    lines += logged_lines(report) + staged_lines(status.staged)
    if report.failed:
        some = f", the first {len(status.dead_letters)}:" if report.failed > len(status.dead_letters) else ":"
        lines += ["", f"{plural(report.failed, 'dead letter')}{some}"]
        lines += [dead_letter_line(one) for one in status.dead_letters]
    return [*lines, "", *folder_lines(report), *output_line(report), *following(report)]


def yield_lines(report: RunReport) -> list[str]:
    """What tasks amounted to, stage by stage: seconds and bytes of video. Columns without any are left out. Pure."""
    rows = {name: _amounts(stage) for name, stage in report.stages.items() if stage.amounts_in or stage.amounts_out}
    shown = [number for number in range(len(YIELD)) if any(row[number] for row in rows.values())]
    cells = [(name, *(row[number] for number in shown)) for name, row in rows.items()]
    lines = ["", *table(("yield", *(YIELD[number] for number in shown)), cells, numbers=True)] if cells else []
    partly = [(name, plural(stage.unmeasured, "shard")) for name, stage in report.stages.items() if stage.unmeasured]
    return lines + [f"  {name}: without {shards} of which it is not known" for name, shards in partly]


def _amounts(stage: StageReport) -> tuple[str, ...]:
    lost, left_out = sum_amounts(stage.lost.values()), sum_amounts(one.amounts for one in stage.left_out.values())
    return tuple(map(words, (stage.amounts_in, stage.amounts_out, lost, left_out, stage.amounts_failed)))


def folder_lines(report: RunReport) -> list[str]:
    """Where the rows and files of each stage are: the folder that all are in, then theirs in it. Pure."""
    folders = [stage.folder for stage in report.stages.values() if stage.folder]
    names = ", ".join(os.path.basename(folder) for folder in folders)
    return [f"results: {os.path.dirname(folders[0])}/: {names} (hpcurate results STAGE)"] if folders else []


def logged_lines(report: RunReport) -> list[str]:
    """What stages logged beside their tasks: of many names the first, so that the rest stays on the screen. Pure."""
    lines = [line for stage, where in report.stages.items() for line in _logged(stage, where)]
    return ["", "logged:", *lines] if lines else []


def _logged(stage: str, where: StageReport) -> list[str]:
    shown, more = list(where.logged.items())[:LOGGED], len(where.logged) - LOGGED
    lines = [f"  {stage}: {name}: {described(one)}" for name, one in shown]
    return lines + ([f"  {stage}: and {plural(more, 'more name')}; --json lists all"] if more > 0 else [])


def staged_lines(staged: Sequence[Staged]) -> list[str]:
    """How much was copied, to how many nodes, and how long the slowest copy took. Pure."""
    lines = [
        f"  {one.what}: {bytes_text(one.copied_bytes)} copied to {plural(one.nodes, 'node')}, "
        f"slowest {duration(one.slowest_s, exact=True)}"
        for one in staged
    ]
    return ["", *lines] if lines else []


def _row(name: str, stage: StageReport) -> tuple[str, ...]:
    shards = "?" if stage.shards is None else f"{stage.shards_done}/{stage.shards}"
    share, left = stage.progress, stage.left_s
    counts = (str(stage.tasks_in), str(stage.tasks_out), str(stage.dropped), failed_count(stage))
    done, still = "" if share is None else percent(share), "" if left is None else duration(left)
    return (name, done, shards, *counts, f"{stage.seconds:.1f}", still)
