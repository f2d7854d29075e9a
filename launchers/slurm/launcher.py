"""`launcher=slurm`: one job array a stage and round, and a gate after it that moves the run on."""

from __future__ import annotations

import os
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.errors import LauncherError
from hpcurate.fields import option
from hpcurate.planning.job_time import Load, with_time
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan, worker_shape
from hpcurate.runs.launcher import Started, Submission
from hpcurate.site import SiteProfile, profile_of
from hpcurate.store.rounds import Jobs
from hpcurate.units import megabytes
from hpcurate.verdict import Allowance
from launchers.slurm.clients import missing_clients
from launchers.slurm.facts import probe
from launchers.slurm.gates import SlurmGates
from launchers.slurm.options import PATIENCE_S, JobSettings, parts
from launchers.slurm.queue import SlurmQueue

if TYPE_CHECKING:
    from launchers.slurm.checks import SlurmChecks
    from launchers.slurm.compiler import SlurmCompiler
    from launchers.slurm.doctor import SlurmDiagnosis
    from launchers.slurm.limits import SubmitLimit
    from launchers.slurm.service import SlurmServices


@attrs.define
class SlurmLauncher:
    """One array a stage and round, and a gate after it."""

    partition: str | None = option(None, "partition of every stage; default: the profile's, then the site's")
    account: str | None = option(None, "account to charge")
    qos: str | None = option(None, "quality of service")
    sbatch: dict[str, Any] = option(dict, "any further sbatch option, for every stage, e.g. {constraint: a100}")
    gate: dict[str, Any] = option(dict, "sbatch options of gates that differ from the stages', e.g. {partition: short}")
    max_workers: int = option(32, "workers of one stage at most, where the stage sets none")
    max_parallel: int | None = option(None, "workers of one array that may run at once (the array's %); default: all")
    setup: list[str] = option(list, "shell lines before the worker starts, e.g. [module load cuda]")
    python: str | None = option(None, "Python of workers and gates; default: the one that submits")
    site: dict[str, Any] = option(dict, "the site profile; set by the key `site`")
    patience_s: float = option(PATIENCE_S, "seconds to wait for room under the site's submit limit")
    name = "slurm"
    in_process = False
    children = None

    # -- what it has ----------------------------------------------------------------------------------

    @cached_property
    def profile(self) -> SiteProfile:
        """The site's, as it was when the run was started."""
        return profile_of(self.site, "site")

    @property
    def stays(self) -> bool:
        """See `Launcher`. Only where there are no gates."""
        return self.gates is None

    @property
    def queue(self) -> SlurmQueue:
        """See `Launcher`."""
        return SlurmQueue()

    @property
    def gates(self) -> SlurmGates | None:
        """See `Launcher`. None where jobs may not submit."""
        if self.profile.nodes_may_submit is False:
            return None
        return SlurmGates(self.settings, self.patience_s)

    @property
    def checks(self) -> SlurmChecks:
        """See `Launcher`."""
        from launchers.slurm.checks import SlurmChecks  # here, as others below: a gate that submits nothing uses none

        return SlurmChecks(self.settings)

    @property
    def compiler(self) -> SlurmCompiler:
        """See `Launcher`."""
        from launchers.slurm.compiler import SlurmCompiler

        return SlurmCompiler(self.settings, self._limit, self.most_workers, self.most)

    @property
    def services(self) -> SlurmServices:
        """See `Launcher`."""
        from launchers.slurm.service import SlurmServices

        return SlurmServices(self.settings)

    @property
    def diagnosis(self) -> SlurmDiagnosis | None:
        """See `Launcher`. None where there is no Slurm client."""
        from launchers.slurm.doctor import SlurmDiagnosis

        has_slurm = "sbatch" not in missing_clients()
        return SlurmDiagnosis(partition=self.partition, account=self.account) if has_slurm else None

    @property
    def node_local(self) -> tuple[str, ...]:
        """See `Launcher`."""
        return tuple(self.profile.node_local)

    @property
    def node_quota(self) -> int | None:
        """See `Launcher`."""
        return megabytes(self.profile.node_quota) * 2**20 if self.profile.node_quota else None

    @property
    def gpu_probe(self) -> bool:
        """See `Launcher`."""
        return self.profile.gpu_probe

    @property
    def same_path(self) -> bool:
        """See `Launcher`. Lines that run before the worker may load modules."""
        return self.python is None and not self.settings.setup_lines

    @property
    def other_python(self) -> bool:
        """See `Launcher`. Where `launcher.python` names another."""
        return self.python is not None

    @property
    def settings(self) -> JobSettings:
        """What these fields and the profile set for jobs."""
        return JobSettings(
            profile=self.profile,
            partition=self.partition,
            account=self.account,
            qos=self.qos,
            sbatch=self.sbatch,
            gate=self.gate,
            python=self.python or sys.executable,
            setup=tuple(self.setup),
            max_parallel=self.max_parallel,
        )

    @cached_property
    def _limit(self) -> SubmitLimit:
        from launchers.slurm.limits import SubmitLimit

        return SubmitLimit(self.account or self.profile.account, self.qos or self.profile.qos)

    # -- before anything is written -----------------------------------------------------------------

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`. Refuses what the site would refuse, or would never start."""
        from launchers.slurm.preflight import asked_of, gate_problems, option_problems, problems, store_problem

        facts, drain_s = probe(), pipeline.timing.drain_s
        timed = [with_time(s, Load(), 1, self.most(s).seconds) for s in pipeline.stages]
        stages = {s.name: self.settings.of_stage(s, worker_shape(s), drain_s) for s in timed}
        gate = self.settings.of_gate(facts, last=False)
        found = option_problems({**{f"stages.{name}": o for name, o in stages.items()}, "launcher.gate": gate})
        found = found or problems({name: asked_of(options) for name, options in stages.items()}, facts)
        found = found or gate_problems(gate, facts)
        found = found or self._refusals(stages, gate)
        folders = [os.path.expandvars(folder) for folder in self.node_local]
        wrong = store_problem(store, folders, self.profile.nodes_see_store, self.profile.store)
        found = [*found, wrong] if wrong else found
        if found:
            more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
            raise LauncherError(found[0] + more)

    def _refusals(self, stages: dict[str, dict[str, Any]], gate: dict[str, Any]) -> list[str]:
        """What sbatch itself refuses, and a submit limit too low for gates."""
        from launchers.slurm.refusals import refusals

        jobs = {f"stages.{name}": options for name, options in stages.items()}
        if self.gates is None:
            return refusals(jobs)
        too_low = self._limit.too_low_for_gates()
        return [*refusals({**jobs, "launcher.gate": gate}), *([too_low] if too_low else [])]

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return stage.workers or self.max_workers

    # -- submitting -----------------------------------------------------------------------------------

    def most(self, stage: PlannedStage) -> Allowance:
        """See `Launcher`."""
        from launchers.slurm.most import most_there

        return most_there(stage, self.settings.of_stage(stage, worker_shape(stage), 0.0), probe())

    def nodes(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        from launchers.slurm.most import nodes_there

        return nodes_there(self.settings.of_stage(stage, worker_shape(stage), 0.0), probe())

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`."""
        self._room_for(plan)

    def _room_for(self, plan: Plan) -> int:
        gates = 0 if self.gates is None else 1
        return self._limit.room_for(plan.workers, gates=gates, patience_s=self.patience_s)

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`. As many arrays as the site's index limit asks for, all of one name.

        Fewer elements than the plan's workers where the site's submit limit leaves no room for more: they pull
        the same shards. Raises LauncherError where there is no room for one after a while.
        """
        from launchers.slurm.arrays import array_job, submit_array

        most = probe(nodes=False).max_array
        room = self._room_for(submission.plan)
        jobs: list[str] = []
        for offset, elements in parts(room, most):
            array = array_job(submission, self.settings, offset=offset, elements=elements)
            job = submit_array(array, needed=not jobs, patience_s=self.patience_s)
            if job is None:
                break
            jobs.append(job)
        return Started(Jobs(ids=tuple(jobs)))

    def script(self, submission: Submission) -> str:
        """See `Launcher`. Of a round that fits into one array."""
        from launchers.slurm.arrays import array_job

        return array_job(submission, self.settings, offset=0, elements=submission.plan.workers).script()

    # -- waiting --------------------------------------------------------------------------------------

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """See `Launcher`."""
        self.patience_s = max(self.patience_s, patience_s) if at_least else patience_s

    def wait(self, seconds: float) -> None:
        """See `Launcher`."""
        time.sleep(seconds)
