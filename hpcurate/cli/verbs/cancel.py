"""`hpcurate cancel`: stop the jobs of a run that no other run needs, or end a server."""

from __future__ import annotations

import argparse

from hpcurate.cli.servers import cancel_lines, server_meant
from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run_without_doubt, the_store
from hpcurate.runs.cancel import cancel
from hpcurate.runs.commands import again
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import written_report


def parser() -> argparse.ArgumentParser:
    """See `hpcurate cancel --help`."""
    return run_parser("cancel", "stop the jobs of a run that no other run needs; or end a server, by its name")


def verb(argv: list[str]) -> int:
    """Stop them, and print what was done."""
    options = parser().parse_args(argv[1:])
    server = server_meant(the_store(options), options.run) if options.run else None
    if server is not None:
        show(cancel_lines(server))
        return 0
    run = the_run_without_doubt(options)
    said, report = cancel(run), written_report(run)
    if report is not None and report.state in (RunState.COMPLETE, RunState.FAILED):
        show([*said, f"{run.name}: {report.state.value} before it was cancelled"])
    else:
        show([*said, f"{run.name}: cancelled", f"to continue: {again(run.frozen().command, run.store.root)}"])
    return 0
