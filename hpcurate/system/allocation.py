"""The Slurm job that this process is in, from the variables that Slurm sets there (sbatch(1), "output environment").

Nothing else reads them. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Optional

import msgspec


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """What a job was given. Outside a job all of it is None; emulated nodes have a name there, too."""

    job_id: Optional[str] = None
    array_job_id: Optional[str] = None
    """The whole array's."""
    array_task_id: Optional[int] = None
    restart_count: int = 0
    """How often the job was requeued."""
    node_name: Optional[str] = None
    """Slurm's name of this node, which need not be the host's."""
    nodes: int = 1
    cpus: Optional[int] = None
    """Cores of the job on its first node."""
    cpus_on_node: Optional[int] = None
    """Cores of the job or step on this node."""
    memory_mb: Optional[int] = None
    """MiB of the job on its first node."""
    start_time: Optional[int] = None
    """When the job began, seconds since the epoch; not every version of Slurm sets it."""
    end_time: Optional[int] = None
    """When its wall time ends, seconds since the epoch; not every version of Slurm sets it."""

    @property
    def element(self) -> str:
        """The job as its scheduler names it: `<array job>_<task>`, or `<job>`; empty outside a job."""
        if self.array_job_id and self.array_task_id is not None:
            return f"{self.array_job_id}_{self.array_task_id}"
        return self.job_id or ""

    @classmethod
    def here(cls) -> Allocation:
        """Of this process."""
        return cls.of(os.environ)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Allocation:
        """Of these variables. Pure."""
        on_node = _number(environ, "SLURM_CPUS_ON_NODE")
        cpus = _number(environ, "SLURM_JOB_CPUS_PER_NODE") or on_node
        per_cpu = _number(environ, "SLURM_MEM_PER_CPU")
        return cls(
            job_id=environ.get("SLURM_JOB_ID") or None,
            array_job_id=environ.get("SLURM_ARRAY_JOB_ID") or None,
            array_task_id=_number(environ, "SLURM_ARRAY_TASK_ID"),
            restart_count=_number(environ, "SLURM_RESTART_COUNT") or 0,
            node_name=environ.get("SLURMD_NODENAME") or None,
            nodes=_number(environ, "SLURM_JOB_NUM_NODES") or 1,
            cpus=cpus,
            cpus_on_node=on_node,
            memory_mb=_number(environ, "SLURM_MEM_PER_NODE") or (per_cpu * cpus if per_cpu and cpus else None),
            start_time=_number(environ, "SLURM_JOB_START_TIME"),
            end_time=_number(environ, "SLURM_JOB_END_TIME"),
        )


def _number(environ: Mapping[str, str], name: str) -> Optional[int]:
    """`16`, `16(x2),8` → 16: the first node's."""
    text = environ.get(name, "").partition("(")[0].partition(",")[0]
    return int(text) if text.isdigit() else None
