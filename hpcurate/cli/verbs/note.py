"""`hpcurate note`: write a line about a run, or read what was written."""

from __future__ import annotations

import argparse

from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import store_parser, the_store
from hpcurate.report.notes import add_note, note_of
from hpcurate.runs.folder import find_run


def parser() -> argparse.ArgumentParser:
    """See `hpcurate note --help`."""
    made = store_parser("note", "write a line about a run, or read what was written")
    made.add_argument("run", metavar="RUN", help="name, path or part of a name; `latest`")
    made.add_argument("text", nargs="*", help="words of the line; none: only read")
    return made


def verb(argv: list[str]) -> int:
    """Append the text, if any, then print the whole note."""
    options = parser().parse_args(argv[1:])
    run = find_run(the_store(options), options.run)
    if options.text:
        add_note(run, " ".join(options.text))
    show([run.name, *(f"  {line}" for line in note_of(run).splitlines())])
    return 0
