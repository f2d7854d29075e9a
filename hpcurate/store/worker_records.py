"""What each worker was given, for how long, and what it did with that: `workers/<worker>.json` beside its plan.

Written when a worker begins, and again when it leaves: one that was killed has no end in its record.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

import msgspec

from hpcurate.store.filesystem import Filesystem

__all__ = ["WorkerRecord", "read_worker_records", "record_path", "write_worker_record"]


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; an element that its scheduler begins again is another one. Times are Unix seconds."""

    worker: str
    stage: str
    round: int
    index: int
    node: str
    element: str = ""
    """Its job as the scheduler names it; empty without one."""
    processes: int
    """Stage processes: so many shards may be in work at once."""
    cpus: float
    gpus: float
    memory_mb: int
    """What it was given: all that Slurm gave its job, or of a machine that it shares what its stage asks for."""
    begun: float
    ended: float | None = None
    setup_seconds: float = 0.0
    """Of all its stage processes together, like those that follow: until each was ready, with what was copied first."""
    busy_seconds: float = 0.0
    """In attempts that came to a commit."""
    lost_seconds: float = 0.0
    """In attempts that did not: failed, or handed back."""
    cpu_seconds: float = 0.0
    """Of cores that were really busy in attempts that came to a commit."""
    gpu_seconds: float | None = None
    """Of GPUs that ran any kernel in them; None: nobody saw."""
    committed: int = 0
    """Attempts."""
    lost: int = 0
    tasks_out: int = 0


def write_worker_record(filesystem: Filesystem, submission: str, record: WorkerRecord) -> None:
    """Write it, or replace it. Raises OSError."""
    filesystem.make_folders(_folder(submission))
    data = json.dumps(msgspec.to_builtins(record)).encode() + b"\n"
    filesystem.replace(record_path(submission, record.worker), data)


def read_worker_records(filesystem: Filesystem, submission: str) -> list[WorkerRecord]:
    """All that can be read, the first to begin first; none of a submission of before."""
    found = []
    with suppress(OSError):
        for name in sorted(filesystem.names(_folder(submission))):
            with suppress(OSError, ValueError, msgspec.MsgspecError):
                plain = json.loads(filesystem.read(os.path.join(_folder(submission), name)))
                found.append(msgspec.convert(plain, WorkerRecord))
    return sorted(found, key=lambda record: (record.begun, record.index))


def record_path(submission: str, worker: str) -> str:
    """The file of one worker."""
    return os.path.join(_folder(submission), f"{worker}.json")


def _folder(submission: str) -> str:
    return os.path.join(submission, "workers")
