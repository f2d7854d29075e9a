"""`hpcurate advise`: what a run asked for and did not need, or lacked, and the overrides that change it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress

from hpcurate.cli.terminal import show, show_json
from hpcurate.cli.text import styled
from hpcurate.cli.verbs.common import run_parser, the_run
from hpcurate.errors import UserError
from hpcurate.report.advice import FEW_SHARDS, LITTLE_S, Advice, StageFacts, advice_on, facts_of
from hpcurate.report.run_view import RunView
from hpcurate.runs.commands import quoted
from hpcurate.runs.folder import Run
from hpcurate.runs.summary import RunReport

SHOWN = 3
"""At the end of a run."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate advise --help`."""
    made = run_parser("advise", "what a run asked for and did not need, or lacked, and the override that changes it")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def verb(argv: list[str]) -> int:
    """Print it."""
    options = parser().parse_args(argv[1:])
    facts = facts_of(RunView(the_run(options)))
    found = advice_on(facts)
    if options.json:
        show_json([one.plain() for one in found])
    else:
        show(advise_lines(found, facts))
    return 0


def advise_lines(found: Sequence[Advice], facts: Sequence[StageFacts]) -> list[str]:
    """Each with its overrides, then all of them to copy. Pure."""
    little = [one.stage for one in facts if not one.known]
    lines = [line for one in found for line in (f"{one.stage}: {one.why}", "    " + _typed(one), "")]
    if found:
        typed = " ".join(quoted(word) for one in found for word in one.overrides)
        lines.append("in the command of the next run: " + styled(typed, "command"))
    elif len(little) < len(facts):
        lines.append("nothing to advise: what its stages asked for fits what they needed")
    if little:
        least = f"fewer than {FEW_SHARDS} shards, or less than {LITTLE_S:.0f} s of work"
        lines.append(f"too little is known of {', '.join(little)}: {least}")
    return lines


def after_run(run: Run, report: RunReport) -> list[str]:
    """A line each at the end of a run; none, at no cost, where too little is known to say anything."""
    if all(stage.seconds < LITTLE_S for stage in report.stages.values()):
        return []
    found: list[Advice] = []
    with suppress(UserError, OSError):
        found = advice_on(facts_of(RunView(run)))
    lines = [f"advice: {one.stage}: {one.why}; {_typed(one)}" for one in found[:SHOWN]]
    more = [f"advice: and {len(found) - SHOWN} more: hpcurate advise {run.name}"] if len(found) > SHOWN else []
    return lines + more


def _typed(one: Advice) -> str:
    return styled(" ".join(map(quoted, one.overrides)), "command")
