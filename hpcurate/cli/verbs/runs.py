"""`hpcurate runs`: list and search the runs of a store."""

from __future__ import annotations

import argparse
import datetime

import msgspec

from hpcurate.cli.terminal import show, show_json, state, table
from hpcurate.cli.text import styled
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.report.run_list import RunEntry, RunList, list_runs
from hpcurate.report.times import local, started_of
from hpcurate.runs.state import RunState
from hpcurate.units import duration

HEADER = ("run", "started", "took", "state", "overrides  # note")
SHOWN = 20
"""Runs that are listed."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate runs --help`."""
    made = store_parser("runs", "the runs of a store, newest first")
    made.add_argument("pattern", nargs="?", default="", help="text in the name, overrides, note or any config value")
    states = [state.value for state in RunState]
    made.add_argument("--state", choices=states, metavar="STATE", help=f"only runs that are {', '.join(states)}")
    made.add_argument("-n", type=int, default=SHOWN, metavar="N", help=f"so many of them; default {SHOWN}, 0: all")
    made.add_argument("--json", action="store_true", help="print JSON, of all of them")
    return made


def verb(argv: list[str]) -> int:
    """Print them, newest first."""
    options = parser().parse_args(argv[1:])
    now = datetime.datetime.now(datetime.UTC)
    most = None if options.json or options.n <= 0 else options.n
    found = list_runs(the_store(options), now, options.pattern, options.state, most)
    if options.json:
        show_json([msgspec.to_builtins(entry) for entry in found.entries])
    else:
        show(run_lines(found, now))
    return 0


def run_lines(found: RunList, now: datetime.datetime) -> list[str]:
    """A line for each run, and how many there are besides. Pure but for this machine's zone."""
    lines = table(HEADER, (_row(one, now) for one in found.entries), whole=True)
    total = found.more + len(found.entries)
    return lines + ([f"and {found.more:,} older; -n {total} lists all"] if found.more else [])


def _row(one: RunEntry, now: datetime.datetime) -> tuple[str, ...]:
    started = started_of(one.run)
    complete = one.state == RunState.COMPLETE.value
    return (
        one.run,
        local(started, now) if started else "",
        "" if one.seconds is None else duration(one.seconds),
        state(one.state) + ("" if complete or "/" not in one.stages else f" {one.stages}"),
        styled(one.overrides, "") + styled(f"  # {one.note}" if one.note else "", "dim"),
    )
