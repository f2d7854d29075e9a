"""`hpcurate cancel`: stop the jobs of a run that no other run needs."""

from __future__ import annotations

from hpcurate.cli.terminal import show
from hpcurate.cli.verbs.common import run_parser, the_run_without_doubt
from hpcurate.runs.cancel import cancel


def verb(argv: list[str]) -> int:
    """Stop them, and print what was done."""
    parser = run_parser("cancel", "stop the jobs of a run that no other run needs")
    run = the_run_without_doubt(parser.parse_args(argv[1:]))
    show([*cancel(run), f"{run.name}: cancelled; to continue it, type the run's command again"])
    return 0
