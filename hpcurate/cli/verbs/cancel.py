"""`hpcurate cancel`: stop what nobody else wants."""

from __future__ import annotations

from hpcurate.cli.verbs.common import run_parser, show, the_run
from hpcurate.runs.driver import cancel


def verb(argv: list[str]) -> int:
    """Stop it, and say what was done."""
    run = the_run(run_parser("cancel", "stop what nobody else wants").parse_args(argv[1:]))
    show([*cancel(run), f"{run.name}: cancelled; the run's command again goes on where it stopped"])
    return 0
