"""`launcher=inline`: one worker in this very process. Breakpoints work; a crash of the stage is yours."""

from __future__ import annotations

import os
import time

import attrs
import msgspec

from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan, limits_of
from hpcurate.runs.launcher import NoQueue, Started, Submission
from hpcurate.store.filesystem import DURABILITIES
from hpcurate.store.layout import Store
from hpcurate.store.rounds import Jobs
from hpcurate.verdict import Allowance
from hpcurate.worker.hosts.inprocess import InProcessHosts
from hpcurate.worker.supervisor import Supervisor
from hpcurate.world import World
from launchers.local import refuse_missing


@attrs.define
class InlineLauncher:
    """Runs each round before `submit` returns."""

    name = "inline"
    in_process = True
    stays = True
    queue = NoQueue()
    gates = None
    children = None
    checks = None
    compiler = None
    services = None
    diagnosis = None
    node_local = ()
    node_quota = None
    gpu_probe = True
    same_path = True
    other_python = False

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`. Anything may be tried in-process that finds its GPUs."""
        refuse_missing(pipeline)

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        return 1

    def most(self, stage: PlannedStage) -> Allowance:
        """See `Launcher`. No more than it has: it is this very process."""
        return msgspec.structs.replace(limits_of(stage).ordinary, seconds=0.0)

    def nodes(self, stage: PlannedStage) -> int:
        """See `Launcher`. This machine alone."""
        return 0

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`. There is no limit here."""

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`."""
        plan, job = submission.plan, f"inline{os.getpid()}"
        world = World(filesystem=DURABILITIES[plan.durability]).expecting(Store(plan.store))
        Supervisor(plan, submission.path, 0, job=job, hosts=InProcessHosts(), world=world).run()
        return Started(Jobs(), over=True)

    def script(self, submission: Submission) -> str | None:
        """See `Launcher`."""
        return None

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """See `Launcher`. There is no limit here."""

    def wait(self, seconds: float) -> None:
        """See `Launcher`. Another driver on the same store is at work: look again later."""
        time.sleep(min(seconds, 1.0))
