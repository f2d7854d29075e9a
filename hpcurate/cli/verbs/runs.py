"""`hpcurate runs`: list and search the runs of a store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

import attrs

from hpcurate.cli.terminal import show, state, table
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.report.run_list import RunEntry, list_runs
from hpcurate.runs.state import RunState

HEADER = ("run", "state", "stages", "overrides", "note")


def parser() -> argparse.ArgumentParser:
    """See `hpcurate runs --help`."""
    made = store_parser("runs", "the runs of a store, newest first")
    made.add_argument("pattern", nargs="?", default="", help="text in the name, overrides, note or any config value")
    states = [state.value for state in RunState]
    made.add_argument("--state", choices=states, metavar="STATE", help=f"only runs that are {', '.join(states)}")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print them, newest first."""
    options = parser().parse_args(argv[1:])
    entries = list_runs(the_store(options), options.pattern, options.state)
    if options.json:
        print(json.dumps([attrs.asdict(entry) for entry in entries], indent=1))
    else:
        show(run_lines(entries))
    return 0


def run_lines(entries: Iterable[RunEntry]) -> list[str]:
    """A line for each run. Pure."""
    return table(HEADER, ((one.run, state(one.state), one.stages, one.overrides, one.note) for one in entries))
