"""A run, and where it stood when somebody looked."""

from __future__ import annotations

from typing import Any

import attrs

from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport

__all__ = ["Outcome"]


@attrs.define(frozen=True)
class Outcome:
    """Where a start left its run."""

    run: Run
    report: RunReport

    @property
    def state(self) -> RunState:
        """Where it stands."""
        return self.report.state

    @property
    def summary(self) -> dict[str, Any]:
        """The same as in `summary.json`."""
        return self.report.plain()

    @property
    def output(self) -> str:
        """Folder of the run's result."""
        return self.report.output
