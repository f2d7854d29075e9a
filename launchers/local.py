"""`launcher=local`: real worker processes on this machine, never more than it has room for."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import msgspec

from hpcurate.errors import LauncherError
from hpcurate.fields import option
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.planning.plan import Plan, most_of, worker_shape
from hpcurate.runs.launcher import JobRow, NoQueue, Started, Submission
from hpcurate.start import module_command
from hpcurate.store.rounds import Jobs
from hpcurate.system.allocation import Allocation
from hpcurate.system.processes import ProcessIdentity, SystemProcesses, share_of_cores
from hpcurate.units import megabytes
from hpcurate.verdict import Allowance


class Machine(msgspec.Struct, frozen=True):
    """What this machine, or the allocation we are in, has."""

    cpus: int
    memory_mb: int
    gpus: int
    """How many."""

    @classmethod
    def here(cls) -> Machine:
        """Cores we may run on, memory of the control group or the machine, GPUs we may see.

        Inside a job never more than the job was given, also where the site does not enforce it.
        """
        machine = cls(cpus=len(os.sched_getaffinity(0)), memory_mb=_memory_mb(), gpus=len(gpus_here()))
        return machine.within(Allocation.here())

    def within(self, job: Allocation) -> Machine:
        """What of it a job may use on its first node: all that there is, or less if Slurm gave less. Pure."""
        cpus = min(self.cpus, job.cpus or self.cpus)
        return msgspec.structs.replace(self, cpus=cpus, memory_mb=min(self.memory_mb, job.memory_mb or self.memory_mb))

    def room_for(self, stage: PlannedStage) -> int:
        """Workers of the stage that fit at once; at least one, which then has the machine to itself. Pure."""
        if stage.whole_node:
            return 1
        processes = stage.processes
        limits = [self.cpus / (stage.resources.cpus * processes)]
        limits.append(self.memory_mb / (megabytes(stage.resources.memory) * processes))
        if stage.device == "cuda":
            limits.append(self.gpus / gpus_of(stage))
        return max(1, int(min(limits) + 1e-9))


class _Worker(msgspec.Struct):
    process: subprocess.Popen[bytes]
    submission: Submission
    index: int
    identity: ProcessIdentity
    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    """Tokens of those it was given."""


class LocalQueue(NoQueue):
    """No scheduler; but workers of this machine can be counted, and asked to leave."""

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        alive = sum(SystemProcesses().alive(worker) is True for worker in jobs.workers)
        return [JobRow(id="here", name="workers on this machine", state="RUNNING", count=alive)] if alive else []

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`. A worker that is asked to terminate hands its shards back."""
        for worker in jobs.workers:
            SystemProcesses().terminate(worker)


class LocalWorkers:
    """The workers that this process has started."""

    def __init__(self) -> None:
        self._running: list[_Worker] = []
        self._replaced: set[tuple[str, int]] = set()

    def start(self, submission: Submission, index: int) -> ProcessIdentity:
        """Start one."""
        cores = self._free_cores(worker_shape(submission.plan.stage).cpus)
        gpus = self._gpus(submission.plan.stage)
        process = subprocess.Popen(
            module_command(sys.executable, submission.plan.code, "hpcurate.worker", submission.path),
            env=_environment(submission, index, cores, gpus),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the driver alone, which then drains its workers
        )
        identity = ProcessIdentity.of(process.pid)
        self._running.append(_Worker(process, submission, index, identity, cores, gpus))
        return identity

    def working(self, submission: str) -> bool:
        """See `Children`."""
        for worker in [w for w in self._running if w.process.poll() is not None]:
            self._running.remove(worker)
            key = (worker.submission.path, worker.index)
            if worker.process.returncode < 0 and key not in self._replaced:
                self._replaced.add(key)
                self.start(worker.submission, worker.index)
        return any(w.submission.path == submission for w in self._running)

    def stop(self) -> None:
        """See `Children`. One that the signal kills before it can hand anything back is not replaced."""
        self._replaced |= {(worker.submission.path, worker.index) for worker in self._running}
        for worker in self._running:
            with suppress(OSError):
                worker.process.terminate()
        for worker in self._running:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(30)

    def any_ended(self) -> bool:
        """Whether one has left since it was last looked at."""
        return any(w.process.poll() is not None for w in self._running)

    def _free_cores(self, count: int) -> tuple[int, ...]:
        """Cores that no other worker of ours is pinned to; none if there are too few: then it is not pinned."""
        taken = {core for worker in self._running for core in worker.cores if worker.process.poll() is None}
        return share_of_cores([core for core in os.sched_getaffinity(0) if core not in taken], 0, 1, count)

    def _gpus(self, stage: PlannedStage) -> tuple[str, ...]:
        """Those for one more worker of the stage: the ones that are used least."""
        if stage.device != "cuda":
            return ()
        here = [worker for worker in self._running if worker.process.poll() is None]
        return least_used(gpus_here(), [(one.gpus, gpus_of(one.submission.plan.stage)) for one in here], gpus_of(stage))


def gpus_of(stage: PlannedStage) -> float:
    """How many GPUs one worker of the stage takes. Pure."""
    return stage.resources.gpus * stage.processes


def least_used(
    devices: Sequence[str], taken: Sequence[tuple[tuple[str, ...], float]], wanted: float
) -> tuple[str, ...]:
    """So many devices, or one of which a part is wanted: those with the least in use, in their order. Pure.

    `taken` has for each worker its devices, and how many it asked for.
    """
    used = {device: sum(min(1.0, part) for its, part in taken if device in its) for device in devices}
    chosen = sorted(devices, key=lambda device: used[device])[: math.ceil(wanted - 1e-9)]
    return tuple(device for device in devices if device in chosen)


def _environment(submission: Submission, index: int, cores: tuple[int, ...], gpus: tuple[str, ...]) -> dict[str, str]:
    own = {"HPCURATE_WORKER": str(index), "HPCURATE_PARENT": str(os.getpid())}
    of_its_own = {"HPCURATE_CORES": ",".join(map(str, cores))}
    if gpus:
        of_its_own["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return {**os.environ, **own, **of_its_own}


@attrs.define
class LocalLauncher:
    """Starts workers as processes, notices dead ones at once, and replaces each once."""

    workers: int | None = option(None, "workers at most; default: what the machine has room for", minimum=1)
    node_local: tuple[str, ...] = option(
        (), "folders on this machine's own disk, for weights; best first", converter=tuple
    )
    node_quota: int | None = option(None, "bytes that weights may take there")
    gpu_probe: bool = option(True, "whether a worker looks at its GPUs before it begins a stage that needs CUDA")
    name = "local"
    in_process = False
    stays = True
    queue = LocalQueue()
    gates = None
    checks = None
    compiler = None
    services = None
    diagnosis = None
    same_path = True
    other_python = False
    children: LocalWorkers = attrs.field(factory=LocalWorkers, init=False)

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`."""
        refuse_missing(pipeline)

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        room = Machine.here().room_for(stage)
        return min(room, self.workers) if self.workers else room

    def most(self, stage: PlannedStage) -> Allowance:
        """See `Launcher`. What the machine has, without an end."""
        return msgspec.structs.replace(most_of(stage, Machine.here().memory_mb, 0.0), seconds=0.0)

    def nodes(self, stage: PlannedStage) -> int:
        """See `Launcher`. This machine alone."""
        return 0

    def make_room(self, plan: Plan) -> None:
        """See `Launcher`. There is no limit here."""

    def submit(self, submission: Submission) -> Started:
        """See `Launcher`."""
        workers = [self.children.start(submission, index) for index in range(submission.plan.workers)]
        return Started(Jobs(workers=tuple(workers)))

    def script(self, submission: Submission) -> str | None:
        """See `Launcher`."""
        return None

    def set_patience(self, patience_s: float, *, at_least: bool = False) -> None:
        """See `Launcher`. There is no limit here."""

    def wait(self, seconds: float) -> None:
        """See `Launcher`. Returns as soon as a worker ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.children.any_ended():
            time.sleep(0.05)


def _memory_mb() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [pages]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int(Path(name).read_text()))
    return int(min(limits) / 2**20)


def refuse_missing(pipeline: Pipeline) -> None:
    """Raise LauncherError for a stage that needs more nodes than one, or more GPUs than this machine shows."""
    gpus = len(gpus_here())
    for stage in pipeline.stages:
        if stage.resources.nodes > 1:
            raise LauncherError(
                f"stages.{stage.name}.resources.nodes={stage.resources.nodes}: there is one node here; type "
                f"stages.{stage.name}.resources.nodes=1, or launcher=slurm"
            )
        if stage.device == "cuda" and stage.resources.gpus > gpus:
            raise LauncherError(
                f"stages.{stage.name}.resources.gpus={stage.resources.gpus:g}: this machine shows {gpus} GPUs; "
                f"type stages.{stage.name}.device=cpu, or run where there are more"
            )


def gpus_here() -> tuple[str, ...]:
    """Tokens of the GPUs that we may use: those that we were given, or all that the driver made."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(device for device in visible.split(",") if device and device != "-1")
    made = [name for name in os.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit()]
    return tuple(map(str, range(len(made))))
