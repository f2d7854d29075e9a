"""Trying a stage's environment on a node."""

from __future__ import annotations

import os

import msgspec

from hpcurate.planning.plan import Plan, worker_shape
from launchers.slurm.options import JobSettings, check_command
from launchers.slurm.submit import BatchJob

CHECK_LOG = "check-%j.out"


class SlurmChecks(msgspec.Struct, frozen=True):
    """See `EnvironmentChecks`."""

    settings: JobSettings

    def submit(self, plan: Plan, folder: str, name: str) -> str:
        """See `EnvironmentChecks`."""
        return BatchJob(
            folder=os.path.join(folder, name),
            name=f"check-{name}",
            options=self.settings.of_check(plan.stage, worker_shape(plan.stage), plan.timing.drain_s),
            command=check_command(self.settings.python, plan.code, folder, name),
            log=CHECK_LOG,
            setup=self.settings.setup_lines,
        ).submit()
