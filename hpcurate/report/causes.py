"""What `hpcurate why` shows: why tasks failed or were dropped, and why a run does not continue."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import attrs
import msgspec

from hpcurate.report.dead_letters import Group, dead_letters, grouped
from hpcurate.report.drops import Loss, losses
from hpcurate.report.logs import Tail, error_tails, log_of
from hpcurate.report.remedies import remedy
from hpcurate.report.run_view import RunView
from hpcurate.report.setups import SetupFailure, setup_failures
from hpcurate.runs.launcher import JobRow
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport

SHOWN = 8
"""Groups and reasons that are shown of each kind."""


@attrs.define(frozen=True, kw_only=True)
class Causes:
    """Everything that explains a run's state."""

    report: RunReport
    groups: tuple[Group, ...] = ()
    """Dead letters by cause, the largest group first."""
    logs: tuple[str | None, ...] = ()
    """`file:line` in a worker's log for the example of each of the first groups."""
    helps: tuple[str, ...] = ()
    """The command that may help the first groups; empty where none does."""
    setups: tuple[SetupFailure, ...] = ()
    """Stages that cannot be started."""
    losses: tuple[Loss, ...] = ()
    """What was dropped or left out, with examples."""
    jobs: tuple[JobRow, ...] = ()
    """What the queue has; nothing for a complete run."""
    tails: tuple[Tail, ...] = ()
    """Ends of logs in which a scheduler reports an error; none for a complete run."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate why --json` prints."""
        return {
            "run": self.report.run,
            "state": self.report.state.value,
            "reason": self.report.reason,
            "notes": {name: stage.notes for name, stage in self.report.stages.items() if stage.notes},
            "failed": [{**_plain_group(group), "help": help} for group, help in self._helped()],
            "setups": [failure.plain() for failure in self.setups],
            "dropped": self._dropped(),
            "lost": [loss.plain() for loss in self.losses],
            "next": self.report.next,
        }

    def _helped(self) -> Iterable[tuple[Group, str]]:
        return zip(self.groups, itertools.chain(self.helps, itertools.repeat("")), strict=False)

    def _dropped(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for loss in self.losses:
            if not loss.left_out:
                found.setdefault(loss.stage, {})[loss.reason] = loss.count
        return found


def causes_of(view: RunView, stage: str | None = None) -> Causes:
    """Look at a run, or at one of its stages."""
    report = view.look()
    groups = tuple(grouped(dead_letters(view, stage)))
    complete = report.state is RunState.COMPLETE
    return Causes(
        report=report,
        groups=groups,
        logs=tuple(log_of(view, group.example) for group in groups[:SHOWN]),
        helps=tuple(remedy(view, group) for group in groups[:SHOWN]),
        setups=() if complete else setup_failures(view.run, view.frozen, report),
        losses=losses(view, report.stages, stage),
        jobs=() if complete else view.jobs(),
        tails=() if complete else tuple(error_tails(view.run)),
    )


def _plain_group(group: Group) -> dict[str, Any]:
    example = msgspec.to_builtins(group.example.letter)
    return {
        "stage": group.stage,
        "kind": group.example.letter.kind,
        "error": group.error,
        "pattern": group.pattern,
        "count": group.count,
        "example": example,
    }
