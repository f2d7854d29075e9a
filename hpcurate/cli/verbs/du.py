"""`hpcurate du`: what a store takes up on disk, by stage and by run."""

from __future__ import annotations

import argparse

from hpcurate.cli.terminal import show, show_json, table
from hpcurate.cli.verbs.common import run_parser, the_store
from hpcurate.report.disk import DiskUse, RunUse, StageUse, disk_use
from hpcurate.runs.folder import find_run
from hpcurate.store.usage import Usage
from hpcurate.units import bytes_text, plural

STAGE_HEADER = ("stage", "on disk", "files/", "inodes", "runs")
RUN_HEADER = ("run", "its folder", "its own stages", "shared stages", "inodes")


def parser() -> argparse.ArgumentParser:
    """Of `hpcurate du`."""
    made = run_parser("du", "what a store takes up on disk, by stage and by run; with RUN: its stages alone")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print it."""
    options = parser().parse_args(argv[1:])
    store = the_store(options)
    run = find_run(store, options.run).name if options.run else None
    use = disk_use(store)
    if options.json:
        show_json(use.plain())
    else:
        show(du_lines(use, run))
    return 0


def du_lines(use: DiskUse, run: str | None = None) -> list[str]:
    """Of the whole store, or of one run. Pure."""
    stages = [stage for stage in use.stages if run is None or run in stage.runs]
    runs = [one for one in use.runs if run in (None, one.run)]
    lines = [*stage_lines(stages), "", *run_lines(runs)]
    if run is None:
        rows = ((place, bytes_text(found.bytes), str(found.inodes)) for place, found in use.places.items())
        total = ("all of it", bytes_text(use.total.bytes), str(use.total.inodes))
        lines += ["", *table((use.store, "on disk", "inodes"), [*rows, total], numbers=True)]
    if use.total.unread:
        lines.append(f"not counted: {plural(use.total.unread, 'folder')} that only other users may read")
    return lines


def stage_lines(stages: list[StageUse]) -> list[str]:
    """The largest first. Pure."""
    largest = sorted(stages, key=lambda one: -one.usage.bytes)
    return table(
        STAGE_HEADER, [(one.folder, *_amounts(one.usage), str(len(one.runs))) for one in largest], numbers=True
    )


def _amounts(usage: Usage) -> tuple[str, str, str]:
    return bytes_text(usage.bytes), bytes_text(usage.files), str(usage.inodes)


def run_lines(runs: list[RunUse]) -> list[str]:
    """The latest first. Pure."""
    rows = [
        (
            one.run,
            bytes_text(one.usage.bytes),
            bytes_text(one.alone.bytes),
            bytes_text(one.shared.bytes),
            str(one.usage.inodes + one.alone.inodes),
        )
        for one in reversed(runs)
    ]
    return table(RUN_HEADER, rows, numbers=True)
