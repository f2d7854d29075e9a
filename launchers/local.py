"""`launcher=local`: real worker processes on this machine, never more than it has room for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from hpcurate.errors import LauncherError
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.launcher import JobRow, Submission
from hpcurate.system.processes import ProcessIdentity, share_of_cores, start_time, this_host
from hpcurate.units import megabytes


@attrs.define(frozen=True)
class Machine:
    """What this machine, or the allocation we are in, has."""

    cpus: int
    memory_mb: int
    gpus: int

    @classmethod
    def here(cls) -> Machine:
        """Cores we may run on, memory of the control group or the machine, GPUs we may see.

        Inside a job never more than the job was given, also where the site does not enforce it.
        """
        granted = of_allocation(os.environ, cpus=len(os.sched_getaffinity(0)), memory_mb=_memory_mb())
        return cls(*granted, _gpus())

    def room_for(self, stage: PlannedStage) -> int:
        """Workers of the stage that fit at once; at least one, which then has the machine to itself. Pure."""
        processes = stage.processes
        limits = [self.cpus / (stage.resources.cpus * processes)]
        limits.append(self.memory_mb / (megabytes(stage.resources.memory) * processes))
        if stage.resources.gpus:
            limits.append(self.gpus / (stage.resources.gpus * processes))
        return max(1, int(min(limits) + 1e-9))


def of_allocation(environment: Mapping[str, str], *, cpus: int, memory_mb: int) -> tuple[int, int]:
    """Cores and MiB that a job may use on its first node: what the machine shows, or less if Slurm gave less. Pure."""

    def number(name: str) -> int | None:
        text = environment.get(name, "").partition("(")[0].partition(",")[0]
        return int(text) if text.isdigit() else None

    granted = number("SLURM_JOB_CPUS_PER_NODE") or number("SLURM_CPUS_ON_NODE")
    cpus = min(cpus, granted) if granted else cpus
    per_cpu = number("SLURM_MEM_PER_CPU")
    given = number("SLURM_MEM_PER_NODE") or (per_cpu * cpus if per_cpu else None)
    return cpus, min(memory_mb, given) if given else memory_mb


@attrs.define
class _Worker:
    process: subprocess.Popen[bytes]
    submission: Submission
    index: int
    identity: ProcessIdentity
    cores: tuple[int, ...] = ()


@attrs.define
class LocalLauncher:
    """Starts workers as processes, notices dead ones at once, and replaces each once."""

    workers: int | None = attrs.field(
        default=None, metadata={"help": "workers at most; default: what the machine has room for"}
    )
    node_local: tuple[str, ...] = attrs.field(
        default=(), converter=tuple, metadata={"help": "folders on this machine's own disk, for weights; best first"}
    )
    node_quota: int | None = attrs.field(default=None, metadata={"help": "bytes that weights may take there"})
    kind = "local"
    other_python = False
    stays = True
    gates = False
    patience_s: float = attrs.field(default=0.0, init=False)
    _running: list[_Worker] = attrs.field(factory=list, init=False)
    _replaced: set[tuple[str, int]] = attrs.field(factory=set, init=False)

    def check(self, pipeline: Pipeline, store: str) -> None:
        """See `Launcher`."""
        gpus = Machine.here().gpus
        for stage in pipeline.stages:
            if stage.resources.gpus > gpus:
                raise LauncherError(
                    f"stages.{stage.name}.resources.gpus={stage.resources.gpus:g}: this machine shows {gpus} GPUs; "
                    f"set stages.{stage.name}.resources.gpus=0, or run where there are more"
                )

    def most_workers(self, stage: PlannedStage) -> int:
        """See `Launcher`."""
        room = Machine.here().room_for(stage)
        return min(room, self.workers) if self.workers else room

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """See `Launcher`."""
        started = []
        for index in range(submission.plan.workers):
            started.append(self._start(submission, index))
            self._running.append(started[-1])
        return tuple(f"local:{w.identity.pid}:{w.identity.start}" for w in started)

    def _start(self, submission: Submission, index: int) -> _Worker:
        cores = self._free_cores(submission.plan.cpus)
        environment = dict(os.environ, HPCURATE_WORKER=str(index), HPCURATE_PARENT=str(os.getpid()))
        environment["HPCURATE_CORES"] = ",".join(map(str, cores))
        path = [p for p in (submission.plan.code, environment.get("PYTHONPATH")) if p]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hpcurate.worker", submission.path],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the driver alone, which then drains its workers
        )
        identity = ProcessIdentity(this_host(), process.pid, start_time(process.pid) or 0)
        return _Worker(process, submission, index, identity, cores)

    def _free_cores(self, count: int) -> tuple[int, ...]:
        """Cores that no other worker of ours is pinned to; none if there are too few: then it is not pinned."""
        taken = {core for worker in self._running for core in worker.cores if worker.process.poll() is None}
        return share_of_cores([core for core in os.sched_getaffinity(0) if core not in taken], 0, 1, count)

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """See `Launcher`. Only jobs of Slurm are asked for, and they are not ours to know."""
        return None

    def jobs(self, jobs: Sequence[str]) -> list[JobRow] | None:
        """See `Launcher`. There is no queue here; workers that live are counted."""
        identities = [job.split(":") for job in jobs if job.startswith("local:")]
        alive = sum(start_time(int(pid)) == int(start) for _, pid, start in identities)
        return [JobRow(id="here", name="workers on this machine", state="RUNNING", count=alive)] if alive else []

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Launcher`."""
        return None

    def submit_gate(
        self, run_path: str, code: str, stage: str, number: int, jobs: Sequence[str], *, last: bool
    ) -> str | None:
        """See `Launcher`. The driver stays, and is its own gate."""
        return None

    def working(self, submission_path: str) -> bool:
        """Whether a worker of the submission is left; a killed one is replaced, once."""
        for worker in [w for w in self._running if w.process.poll() is not None]:
            self._running.remove(worker)
            key = (worker.submission.path, worker.index)
            if worker.process.returncode < 0 and key not in self._replaced:
                self._replaced.add(key)
                self._running.append(self._start(worker.submission, worker.index))
        return any(w.submission.path == submission_path for w in self._running)

    def cancel(self, jobs: Sequence[str]) -> None:
        """See `Launcher`. A worker told to terminate hands its shards back."""
        for job in jobs:
            _, pid, start = job.split(":")
            if start_time(int(pid)) == int(start):
                with suppress(OSError):
                    os.kill(int(pid), signal.SIGTERM)

    def stop(self) -> None:
        """Have all our workers hand back their shards, and wait for them."""
        for worker in self._running:
            with suppress(OSError):
                worker.process.terminate()
        for worker in self._running:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(30)

    def wait(self, seconds: float) -> None:
        """See `Launcher`. Returns as soon as a worker ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(w.process.poll() is not None for w in self._running):
                return
            time.sleep(0.05)


def _memory_mb() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [pages]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int(Path(name).read_text()))
    return int(min(limits) / 2**20)


def _gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device and device != "-1"])
    return len([name for name in os.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit()])
