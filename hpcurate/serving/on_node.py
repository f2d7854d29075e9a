"""What the stage processes of a server are told, and what this node holds for them: as a worker of a run has it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from hpcurate.planning.plan import Plan
from hpcurate.runs.launcher import ServerNeeds
from hpcurate.serving.plans import PlannedStep
from hpcurate.stage import WorkerInfo
from hpcurate.system.clock import SystemClock
from hpcurate.units import job_minutes, megabytes
from hpcurate.worker.gpu_probe import visible_gpus
from hpcurate.worker.hosts import Log, SetupFailed
from hpcurate.worker.hosts.servers import Servers
from hpcurate.worker.node_staging import NodeFault, NodeStaging, Place
from hpcurate.worker.supervisor import share_of_gpus, share_of_memory

__all__ = ["OnNode", "beginning_at", "first_gpus", "needs_of"]


SERVER_MB = 500
"""MiB of the server itself, with its page."""


class OnNode:
    """Weights and environments are copied to the node once for all processes that need the same."""

    def __init__(self, folder: str, workers: int, steps: Sequence[PlannedStep], job: str, log: Log) -> None:
        self._folder, self._workers, self._job, self._log = folder, workers, job, log
        self._first_gpu = first_gpus(steps, workers)
        self._staged: dict[tuple[str, tuple[str, ...], str], tuple[NodeStaging, Place]] = {}
        self._servers: dict[str, Servers] = {}
        self._lock = threading.Lock()

    def prepared(self, step: PlannedStep, worker: int) -> tuple[WorkerInfo, Place]:
        """See `Prepared`. Raises SetupFailed."""
        place = self._place(step.plan)
        info = self._info(step.plan, worker)
        if not step.plan.stage.node_server:
            return info, place
        with self._lock:
            name = f"{step.name}-{step.plan.stage.node_server}"
            if name not in self._servers:
                self._servers[name] = Servers(step.plan, self._job, SystemClock(), self._log)
            servers = self._servers[name]
        return servers.beside(info, place), place

    def look_after(self) -> None:
        """Start the node's servers again that have ended."""
        for servers in list(self._servers.values()):
            servers.look_after()

    def close(self) -> None:
        """Let go of all of it."""
        for servers in self._servers.values():
            servers.close()
        for staging, _ in self._staged.values():
            staging.close()

    def _place(self, plan: Plan) -> Place:
        key = (plan.stage.name, tuple(one.identity for one in plan.stage.weights), str(plan.stage.env))
        with self._lock:
            if key not in self._staged:
                staging = NodeStaging(plan, self._folder, log=self._log)
                try:
                    self._staged[key] = staging, staging.stage()
                except NodeFault as error:
                    raise SetupFailed(str(error)) from None
            return self._staged[key][1]

    def _info(self, plan: Plan, worker: int) -> WorkerInfo:
        stage, needs = plan.stage, plan.stage.resources
        gpus = stage.device == "cuda"
        devices = beginning_at(visible_gpus() or (), self._first_gpu.get(stage.name, 0))
        return WorkerInfo(
            index=0,
            process=worker,
            cpus=max(1, int(needs.cpus)),
            device=stage.device,
            gpus=share_of_gpus(devices, worker, self._workers, needs.gpus) if gpus else (),
            gpu_share=share_of_memory(needs.gpus),
        )


def gpus_of(step: PlannedStep, workers: int) -> int:
    """Devices that the processes of a step share. Pure."""
    return math.ceil(round(step.plan.stage.gpus * workers, 6))


def first_gpus(steps: Sequence[PlannedStep], workers: int) -> dict[str, int]:
    """Step → the first of its devices: each step has some of its own, as all are loaded at once. Pure."""
    before, found = 0, {}
    for step in steps:
        found[step.name] = before
        before += gpus_of(step, workers)
    return found


def beginning_at(devices: tuple[str, ...], first: int) -> tuple[str, ...]:
    """The node's devices from the first of a step on. Where there are too few, steps share: none is without. Pure."""
    place = first % len(devices) if devices else 0
    return devices[place:] + devices[:place]


def needs_of(steps: Sequence[PlannedStep], workers: int, time: str | None) -> ServerNeeds:
    """What all processes need together: the memory and GPUs of all, but of each worker's steps one works at a time.

    `time`: of the job; None: as long as the longest of its stages asks for. Pure.
    """
    needs = [step.plan.stage.resources for step in steps]
    disks = sum(megabytes(one.disk) for one in needs if one.disk)
    return ServerNeeds(
        stage=steps[-1].name,
        cpus=max(1, math.ceil(workers * max(one.cpus for one in needs))),
        gpus=sum(gpus_of(step, workers) for step in steps),
        memory_mb=SERVER_MB + workers * sum(megabytes(one.memory) for one in needs),
        time=time or max((one.time for one in needs), key=job_minutes),
        disk_mb=disks,
        sbatch=dict(steps[-1].plan.stage.sbatch),
    )
