"""`launcher=inline`: one worker in this very process. Breakpoints work; a crash of the stage is yours."""

from __future__ import annotations

import os
from collections.abc import Sequence

import attrs

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.launcher import JobRow, Submission
from hpcurate.worker.supervisor import Supervisor


@attrs.define
class InlineLauncher:
    """Runs each round before `submit` returns."""

    kind = "inline"
    stays = True
    gates = False
    patience_s: float = attrs.field(default=0.0, init=False)
    node_local = ()
    node_quota = None
    other_python = False

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`. Anything may be tried in-process."""

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return 1

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """See `Launcher`."""
        Supervisor(submission.plan, submission.path, 0, job=f"inline{os.getpid()}", inline=True).run()
        return ()

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """See `Launcher`. Only jobs of Slurm are asked for, and they are not ours to know."""
        return None

    def jobs(self, jobs: Sequence[str]) -> list[JobRow] | None:
        """See `Launcher`. There is no queue here."""
        return []

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Launcher`."""
        return None

    def submit_gate(
        self, run_path: str, code: str, stage: str, number: int, jobs: Sequence[str], *, last: bool
    ) -> str | None:
        """See `Launcher`."""
        return None

    def cancel(self, jobs: Sequence[str]) -> None:
        """See `Launcher`."""

    def wait(self, seconds: float) -> None:
        """See `Launcher`. Another driver on the same store is at work: look again later."""
        import time

        time.sleep(min(seconds, 1.0))
