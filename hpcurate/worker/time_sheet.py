"""A worker's time sheet: what it was given, and how its time went by, for `hpcurate usage` and the page."""

from __future__ import annotations

from contextlib import suppress

import attrs

from hpcurate.node.place import node_name
from hpcurate.planning.plan import Plan, memory_mb, worker_shape
from hpcurate.store.worker_records import WorkerRecord, write_worker_record
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import Since
from hpcurate.world import World

LATE_S = 600.0
"""A job that began longer ago than this before its worker did is not believed to be this one."""


@attrs.define(frozen=True)
class Given:
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
    gpus = stage.resources.gpus * stage.processes if stage.device == "cuda" else 0.0
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
            **attrs.asdict(given(plan, allocation, whole_job=whole_job)),
            begun=job_begun(allocation, self._since.begun, whole_job=whole_job),
        )

    def begin(self) -> None:
        """The worker is there."""
        self._write()

    def ready(self) -> None:
        """One of its stage processes is: all until now went by for that."""
        self._add(setup=self._since.until - self._record.begun)

    def worked(self, seconds: float, *, committed: bool) -> None:
        """One of its stage processes had a shard for so long."""
        self._add(busy=seconds) if committed else self._add(lost=seconds)

    def end(self) -> None:
        """The worker leaves."""
        with self._lock:
            self._record = attrs.evolve(self._record, ended=self._since.until)
        self._write()

    def _add(self, *, setup: float = 0.0, busy: float = 0.0, lost: float = 0.0) -> None:
        with self._lock:
            self._record = attrs.evolve(
                self._record,
                setup_seconds=round(self._record.setup_seconds + setup, 3),
                busy_seconds=round(self._record.busy_seconds + busy, 3),
                lost_seconds=round(self._record.lost_seconds + lost, 3),
            )

    def _write(self) -> None:
        with suppress(OSError):
            write_worker_record(self._world.filesystem, self._submission, self._record)
