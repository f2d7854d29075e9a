"""The guards of one worker: processes that keep the node's server for its stage processes, or wait to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import attrs

from hpcurate.digest import digest
from hpcurate.node.server import ServerFolder
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.system.clock import Clock
from hpcurate.worker.hosts import Log, SetupFailed
from hpcurate.worker.hosts.spawned import StageProcess
from hpcurate.worker.node_staging import Place

AGAIN_S = 5.0
"""Between two starts of a guard that somebody killed, at least."""


class Servers:
    """One guard for each set of GPUs that the stage processes of this worker have."""

    def __init__(self, plan: Plan, job: str, clock: Clock, log: Log) -> None:
        self._plan, self._job, self._clock, self._log = plan, job, clock, log
        self._guards: dict[str, StageProcess] = {}
        self._folders: list[ServerFolder] = []
        self._started = 0.0
        self._lock = threading.Lock()

    def beside(self, info: WorkerInfo, place: Place) -> WorkerInfo:
        """What a stage process is told, with the folder of its server; a guard of that is started if there is none."""
        if not self._plan.stage.node_server:
            return info
        name = server_name(self._plan, info.gpus, self._job)
        folder = ServerFolder(os.path.join(place.folder, ".servers", name))
        info = attrs.evolve(info, node_server=folder.path)
        with self._lock:
            if name not in self._guards:
                self._folders.append(folder)
                self._guards[name] = StageProcess(self._plan, info, place, self._log)
                self._start(self._guards[name])
        return info

    def look_after(self) -> None:
        """Start guards again that have ended."""
        with self._lock:
            ended = [guard for guard in self._guards.values() if guard.ended()]
            if ended and self._clock.monotonic() - self._started > AGAIN_S:
                self._log("the guard of the node's server has ended; it is started again")
                for guard in ended:
                    self._start(guard)

    def close(self) -> None:
        """End all of them, and the servers that they keep."""
        with self._lock:
            for guard in self._guards.values():
                guard.hang_up()
            for guard in self._guards.values():
                guard.close()
            self._guards.clear()
            for folder in self._folders:
                folder.clear()

    def _start(self, guard: StageProcess) -> None:
        self._started = self._clock.monotonic()
        try:
            guard.guard()
        except SetupFailed as error:
            self._log(f"the guard of the node's server: {error}")


def server_name(plan: Plan, gpus: Sequence[str], job: str) -> str:
    """Names a server on its node: other runs, commands, weights, environments or GPUs are other servers. Pure.

    GPUs without a unique name (`0`, not `GPU-…` or `MIG-…`) are those of a job: another job's may be others.
    """
    devices: list[str] = sorted(gpus)
    if any(token.isdigit() for token in devices):
        devices.append(job)
    stage = plan.stage
    return digest([plan.store, plan.run, stage.node_server, stage.env.digest, list(stage.env.python), devices])[:20]
