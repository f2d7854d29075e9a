"""A worker's time sheet: what it was given, and how its time went by, for `hpcurate usage` and the page."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from hpcurate.node.place import node_name
from hpcurate.planning.plan import Plan, memory_mb, worker_shape
from hpcurate.stage_process.messages import Done
from hpcurate.store.stats import GpuUse
from hpcurate.store.worker_records import WorkerRecord, write_worker_record
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import Since
from hpcurate.world import World

LATE_S = 600.0
"""A job that began longer ago than this before its worker did is not believed to be this one."""


class Given(msgspec.Struct, frozen=True):
    """What a worker has."""

    cpus: float
    gpus: float
    memory_mb: int


def given(plan: Plan, allocation: Allocation, *, whole_job: bool) -> Given:
    """All that Slurm gave a job of the worker's own, which may be more than was asked for; else the stage's needs.

    Of a GPU that several workers of one machine share each is given its share. Pure.
    """
    shape, stage = worker_shape(plan.stage), plan.stage
    if whole_job:
        return Given(allocation.cpus or shape.cpus, shape.gpus, allocation.memory_mb or memory_mb(plan))
    gpus = stage.gpus * stage.processes
    return Given(shape.cpus, gpus, memory_mb(plan))


def job_begun(allocation: Allocation, now: float, *, whole_job: bool) -> float:
    """When the worker's own job began, which is when it is first paid for; else now. Pure."""
    start = allocation.start_time
    return float(start) if whole_job and start and now - LATE_S <= start <= now else now


class TimeSheet:
    """Of one worker, whose slots count at once. What cannot be written is left out: nothing else fails for it."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        submission: str,
        allocation: Allocation,
        who: tuple[str, int],
        *,
        whole_job: bool,
    ) -> None:
        """`who`: name and index of the worker."""
        self._world, self._submission, self._lock = world, submission, world.clock.lock()
        self._since = Since.now(world.clock)
        self._record = WorkerRecord(
            worker=who[0],
            stage=plan.stage.name,
            round=plan.round,
            index=who[1],
            node=node_name(),
            element=allocation.element,
            processes=plan.stage.processes,
            **msgspec.to_builtins(given(plan, allocation, whole_job=whole_job)),
            begun=job_begun(allocation, self._since.begun, whole_job=whole_job),
        )

    def begin(self) -> None:
        """The worker is there."""
        self._write()

    def ready(self) -> None:
        """One of its stage processes is: all until now went by for that."""
        with self._lock:
            seconds = self._record.setup_seconds + self._since.until - self._record.begun
            self._record = msgspec.structs.replace(self._record, setup_seconds=round(seconds, 3))

    def committed(self, seconds: float, done: Done) -> None:
        """One of its stage processes had a shard for so long, which is committed."""
        with self._lock:
            kernels = _kernels(done.gpu, self._record.gpus / self._record.processes)
            seen = [one for one in (self._record.gpu_seconds, kernels) if one is not None]
            self._record = msgspec.structs.replace(
                self._record,
                busy_seconds=round(self._record.busy_seconds + seconds, 3),
                cpu_seconds=round(self._record.cpu_seconds + done.counts.cpu_seconds, 3),
                gpu_seconds=round(sum(seen), 3) if seen else None,
                committed=self._record.committed + 1,
                tasks_out=self._record.tasks_out + done.counts.tasks_out,
            )

    def lost(self, seconds: float) -> None:
        """One of them had a shard for so long, and nothing came of it."""
        with self._lock:
            before, count = self._record.lost_seconds, self._record.lost
            self._record = msgspec.structs.replace(
                self._record, lost_seconds=round(before + seconds, 3), lost=count + 1
            )

    def end(self) -> None:
        """The worker leaves."""
        with self._lock:
            self._record = msgspec.structs.replace(self._record, ended=self._since.until)
        self._write()

    def _write(self) -> None:
        with suppress(OSError):
            write_worker_record(self._world.filesystem, self._submission, self._record)


def _kernels(use: GpuUse | None, gpus: float) -> float | None:
    """Seconds in which this share of GPUs ran any kernel; None where nobody saw. Pure."""
    return None if use is None or use.busy is None else use.busy * use.seconds * gpus
