"""`hpcurate cancel`: stop the jobs of a run that no other run needs."""

from __future__ import annotations

import argparse

from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run_without_doubt
from hpcurate.runs.cancel import cancel
from hpcurate.runs.commands import again
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import written_report


def parser() -> argparse.ArgumentParser:
    """See `hpcurate cancel --help`."""
    return run_parser("cancel", "stop the jobs of a run that no other run needs")


def verb(argv: list[str]) -> int:
    """Stop them, and print what was done."""
    run = the_run_without_doubt(parser().parse_args(argv[1:]))
    said, report = cancel(run), written_report(run)
    if report is not None and report.state in (RunState.COMPLETE, RunState.FAILED):
        show([*said, f"{run.name}: {report.state.value} before it was cancelled"])
    else:
        show([*said, f"{run.name}: cancelled", f"to continue: {again(run.frozen().command, run.store.root)}"])
    return 0
