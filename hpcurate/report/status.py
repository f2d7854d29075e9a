"""What `hpcurate status` shows: where a run stands, its first dead letters, what was copied to nodes."""

from __future__ import annotations

import itertools

import attrs

from hpcurate.report.dead_letters import LocatedDeadLetter, dead_letters
from hpcurate.report.run_view import RunView
from hpcurate.report.staging import Staged, staged, staging_records
from hpcurate.runs.summary import RunReport

SHOWN = 10
"""Dead letters that are shown."""


@attrs.define(frozen=True)
class Status:
    """One look at a run."""

    report: RunReport
    dead_letters: tuple[LocatedDeadLetter, ...] = ()
    """The first ten."""
    staged: tuple[Staged, ...] = ()


def status_of(view: RunView) -> Status:
    """Look at a run."""
    report = view.look()
    first = itertools.islice(dead_letters(view), SHOWN) if report.failed else ()
    return Status(report, tuple(first), tuple(staged(staging_records(view.run))))
