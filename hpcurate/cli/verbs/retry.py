"""`hpcurate retry`: try the dead letters of a run again, with the code as it is now."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from hpcurate.cli.start.again import request_again
from hpcurate.cli.start.launch import shown
from hpcurate.cli.terminal import show_end
from hpcurate.cli.verbs.common import RUN_HELP, one_name, store_parser, the_run_without_doubt
from hpcurate.errors import ConfigError
from hpcurate.failures import FailureKind
from hpcurate.report.dead_letters import Group, dead_letters, grouped
from hpcurate.report.run_view import RunView
from hpcurate.runs.commands import spelling_out
from hpcurate.runs.folder import Run
from hpcurate.runs.retry import NothingChosen, Retry
from hpcurate.runs.start_retry import start_retry
from hpcurate.units import plural

NONE = "has no dead letters: nothing to try again; hpcurate status shows where it stands"
VALUES = "what changes no result, such as stages.NAME.resources.memory=2GB"
OFFERED = 20
"""Groups of dead letters that are listed where none is chosen."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate retry --help`."""
    made = store_parser("retry", "try what failed again, with the code as it is now")
    made.add_argument("words", nargs="*", metavar="RUN | key=value", help=f"the run: {RUN_HELP}; and {VALUES}")
    made.add_argument("--stage", help="only dead letters of this stage")
    kinds = [kind.value for kind in FailureKind]
    made.add_argument("--kind", choices=kinds, metavar="KIND", help=f"only of this kind: {', '.join(kinds)}")
    made.add_argument("--reason", metavar="TEXT", help="only with this text in their error or message")
    made.add_argument(
        "--keep-done", action="store_true", help="keep what a stage without a `version` has done with other code"
    )
    made.add_argument("--config-dir", action="append", default=[], metavar="DIR", help="one more conf folder")
    return made


def verb(argv: list[str]) -> int:
    """Start it as the run's command would; the exit status is the run's."""
    options = parser().parse_intermixed_args(argv[1:])
    words = [word for word in options.words if "=" in word]
    options.run = one_name("retry", options.words)
    run = the_run_without_doubt(options)
    which = Retry(
        run=run.name, stage=options.stage, kind=options.kind, reason=options.reason, keep_done=options.keep_done
    )
    with spelling_out(run.frozen().command, run.store.root):
        request, _ = request_again(run, words, options.config_dir)
    try:
        with shown() as (echo, progress):
            outcome = start_retry(request, run, which, echo=echo, progress=progress)
    except NothingChosen as error:
        offers = _offers(run)
        raise ConfigError("\n".join([f"{run.name}: {error}" if offers else f"{run.name} {NONE}", *offers])) from None
    show_end(outcome)
    return outcome.state.exit_status


def _offers(run: Run) -> list[str]:
    """What there is to choose from."""
    return offer_lines(grouped(dead_letters(RunView(run))))


def offer_lines(groups: Sequence[Group]) -> list[str]:
    """A line for each group of dead letters that could be tried, with the options that name it. Pure."""
    if not groups:
        return []
    lines = [f"  {one.count:>6}  {_named(one)}: {one.pattern}" for one in groups[:OFFERED]]
    more = [f"  and {plural(len(groups) - OFFERED, 'more reason')}: hpcurate why --json"]
    return ["there are:", *lines, *more[: len(groups) > OFFERED]]


def _named(group: Group) -> str:
    return f"--stage {group.example.shard.stage} --kind {group.example.letter.kind}  {group.error}"
