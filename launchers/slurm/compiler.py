"""`hpcurate compile` on Slurm: the scripts of a folder as this site takes them, and the jobs of one that wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hpcurate.errors import LauncherError
from hpcurate.planning.job_time import Load, with_time
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.compiled import Compiled
from hpcurate.runs.launcher import JobRow
from hpcurate.store.rounds import Jobs
from hpcurate.verdict import Allowance
from launchers.slurm.clients import ask, own_user
from launchers.slurm.compiled import Scripts, fitting
from launchers.slurm.facts import probe
from launchers.slurm.limits import SubmitLimit
from launchers.slurm.options import JobSettings
from launchers.slurm.preflight import store_problem
from launchers.slurm.queue import WAITING_FORMAT, SlurmQueue, held_by, waiting_jobs


class SlurmCompiler(msgspec.Struct, frozen=True):
    """See `Compiler`."""

    settings: JobSettings
    limit: SubmitLimit
    workers: Callable[[PlannedStage], int]
    most: Callable[[PlannedStage], Allowance]

    def scripts(self, folder: str, pipeline: Pipeline, compiled: Compiled) -> dict[str, str]:
        """See `Compiler`. As many elements as there may be workers: how many shards there are, nobody knows yet."""
        self._check(folder)
        facts = probe()
        wanted = {s.name: 1 if s.relation.whole else min(self.workers(s), facts.max_array) for s in pipeline.stages}
        stages = tuple(with_time(s, Load(), wanted[s.name], self.most(s).seconds) for s in pipeline.stages)
        return Scripts(
            folder=folder,
            pipeline=msgspec.structs.replace(pipeline, stages=stages),
            compiled=compiled,
            settings=self.settings,
            facts=facts,
            elements=fitting(wanted, self.limit.jobs),
        ).all()

    def _check(self, folder: str) -> None:
        profile = self.settings.profile
        if profile.nodes_may_submit is False:
            raise LauncherError(
                "site.nodes_may_submit=false: gates of a compiled folder submit what comes after a round that left "
                "something; type the run's command instead: it stays, and submits itself"
            )
        wrong = store_problem(folder, profile.node_local, profile.nodes_see_store, profile.store, what="compile: ")
        if wrong:
            raise LauncherError(wrong)

    def waiting(self, names: Sequence[str], after: str = "") -> list[JobRow] | None:
        """See `Compiler`."""
        answer = ask(["squeue", "-h", "-a", "-u", own_user(), f"--name={','.join(names)}", "-o", WAITING_FORMAT])
        return None if answer is None else waiting_jobs(answer, names, after)

    def shorten(self, job: JobRow, elements: int) -> None:
        """See `Compiler`."""
        SlurmQueue().cancel(Jobs((f"{job.id}_[{elements}-{job.count - 1}]",)))

    def hold(self, job: JobRow, gate: str) -> None:
        """See `Compiler`. Where Slurm refuses, it begins when what it waits for now has ended, and leaves."""
        held = ask(["squeue", "-h", "-j", job.id, "-o", "%E"])
        if held is not None:
            ask(["scontrol", "update", f"JobId={job.id}", f"Dependency={held_by(held, gate)}"])
