"""Servers as jobs: one plain job, which says itself where it listens."""

from __future__ import annotations

import os
import re

import msgspec

from hpcurate.errors import LauncherError
from hpcurate.runs.launcher import ServerJob, ServerNeeds
from launchers.slurm.clients import ask
from launchers.slurm.options import JobSettings, server_command
from launchers.slurm.submit import BatchJob

LOG = "log"
"""In the server's folder."""


class SlurmServices(msgspec.Struct, frozen=True):
    """See `Services`."""

    settings: JobSettings

    def check(self, needs: ServerNeeds, store: str) -> None:
        """See `Services`. As for a stage: `Launcher.check`."""
        from launchers.slurm.facts import probe
        from launchers.slurm.preflight import asked_of, option_problems, problems, store_problem
        from launchers.slurm.refusals import refusals

        profile, named = self.settings.profile, {f"stages.{needs.stage}": self.settings.of_server(needs)}
        local = [os.path.expandvars(folder) for folder in profile.node_local]
        wrong = store_problem(store, local, profile.nodes_see_store, profile.store)
        found = [wrong] if wrong else option_problems(named)
        found = found or problems({needs.stage: asked_of(self.settings.of_server(needs))}, probe()) or refusals(named)
        if found:
            raise LauncherError(found[0])

    def start(self, job: ServerJob) -> str:
        """See `Services`."""
        return server_job(job, self.settings).submit()

    def address(self, node: str) -> str:
        """See `Services`. Slurm's name of a node need not be one of the network: `NodeAddr` is (slurm.conf(5))."""
        return address_in(ask(["scontrol", "show", "node", "--oneliner", node]) or "") or node


def server_job(job: ServerJob, settings: JobSettings) -> BatchJob:
    """The job of a server. Pure."""
    return BatchJob(
        folder=job.folder,
        name=job.name,
        options=settings.of_server(job.needs),
        command=server_command(settings.python, job.code, job.folder),
        log=LOG,
        setup=settings.setup_lines,
    )


def address_in(text: str) -> str:
    """The address in `scontrol show node`; empty if there is none. Pure."""
    found = re.search(r"(?:^|\s)NodeAddr=(\S+)", text)
    return found[1] if found else ""
