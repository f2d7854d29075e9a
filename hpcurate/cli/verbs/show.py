"""`hpcurate show`: what a run is: its command, who typed it when and where, folders, hours used, configuration."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hpcurate.cli.start.settings import Settings
from hpcurate.cli.terminal import show, show_json, state, table
from hpcurate.cli.text import one_line, styled
from hpcurate.cli.verbs.common import run_parser, the_run
from hpcurate.fields import defaults_of
from hpcurate.report.run_view import RunView
from hpcurate.report.shown_run import ShownRun, ShownStage, in_a_line, shown_run
from hpcurate.report.times import local, started_of
from hpcurate.units import duration, hours_text, plural

HEADER = ("stage", "hours", "CPU hours", "GPU hours", "environment")
SOME = 12
"""Distributions that are named."""


def parser() -> argparse.ArgumentParser:
    """See `hpcurate show --help`."""
    made = run_parser("show", "what a run is: command, who, when, folders, hours used, configuration")
    made.add_argument("--all", action="store_true", help="also what is as it always is, and every version")
    made.add_argument("--json", action="store_true", help="print JSON, of all of it")
    return made


def verb(argv: list[str]) -> int:
    """Print it."""
    options = parser().parse_args(argv[1:])
    now = datetime.datetime.now(datetime.UTC)
    found = shown_run(RunView(the_run(options)), defaults_of(Settings), now)
    if options.json:
        show_json(found.plain())
    else:
        show(shown_lines(found, now, everything=options.all))
    return 0


def shown_lines(found: ShownRun, now: datetime.datetime, *, everything: bool = False) -> list[str]:
    """What is printed. Pure but for this machine's zone."""
    lines = [styled(found.entry.run, "heading") + "  " + state(found.entry.state), "", *_facts(found, now, everything)]
    lines += ["", *table(HEADER, hour_rows(found.stages), numbers=True), "", "folders:", *_values(_folders(found))]
    lines += ["", "configuration:", *_values({**found.config, **(found.defaults if everything else {})})]
    more = len(found.defaults)
    return lines + ([f"  {plural(more, 'more key')} with the usual value: --all"] if more and not everything else [])


def _facts(found: ShownRun, now: datetime.datetime, everything: bool) -> list[str]:
    typed, started = found.typed, started_of(found.entry.run)
    when = [local(started, now)] if started else []
    took = [f"took {duration(found.entry.seconds)}"] if found.entry.seconds is not None else []
    again = [f"last typed {_typed_at(typed.at, now)} on {typed.host}"] if typed.at else []
    facts = {
        "command": styled(found.command, "command") if typed.words else found.command,
        "or": styled(found.resume, "command"),
        "by": found.user,
        "started": ", ".join([*when, *took, *again]),
        "checkout": typed.checkout,
        "versions": _versions(found.versions, everything),
        "note": one_line(found.note.replace("\n", "; ")),
    }
    width = max(map(len, facts)) + 2
    return [styled(f"{name:<{width}}", "") + fact for name, fact in facts.items() if fact]


def _typed_at(at: str, now: datetime.datetime) -> str:
    """In this machine's zone, as the other times are; as it is if that is no time."""
    with suppress(ValueError):
        return local(datetime.datetime.fromisoformat(at), now)
    return at


def _versions(versions: Mapping[str, str], everything: bool) -> str:
    named = [f"{name} {version}" for name, version in sorted(versions.items())]
    more = 0 if everything else len(named[SOME:])
    return ", ".join(named[:-more] if more else named) + (f" and {more} more" if more else "")


def hour_rows(stages: Sequence[ShownStage]) -> list[tuple[str, ...]]:
    """A row for each stage, and one for all of them where there are several. Pure."""
    rows = [(one.stage, *map(hours_text, one.amounts), one.env) for one in stages]
    sums = [sum(column) for column in zip(*(one.amounts for one in stages), strict=True)]
    return rows + ([("all", *map(hours_text, sums), "")] if len(rows) > 1 else [])


def _folders(found: ShownRun) -> dict[str, str]:
    return {**found.folders, **{one.stage: one.folder for one in found.stages}}


def _values(values: Mapping[str, Any]) -> list[str]:
    return [f"  {name}: {one_line(in_a_line(value))}" for name, value in values.items()]
