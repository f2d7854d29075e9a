"""What a stage process needs. Runs in every stage environment: Python 3.9."""

from __future__ import annotations

from typing import Optional

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import above_zero, option
from hpcurate.units import job_minutes, megabytes

__all__ = ["Resources"]


def _whole_above_one(gpus: float) -> None:
    if gpus > 1 and gpus != int(gpus):
        raise ConfigError("above 1 only whole GPUs")


@attrs.define(frozen=True, kw_only=True)
class Resources:
    """What one stage process needs. Memory and time always have a value and always reach sbatch."""

    cpus: float = option(1.0, "logical CPU cores", check=above_zero)
    gpus: float = option(
        0.0, "GPUs; 0.25 puts four processes on one GPU, 2 gives one process two", minimum=0, check=_whole_above_one
    )
    memory: str = option("2GB", "main memory, e.g. 32GB", check=megabytes)
    time: str = option(
        "1h",
        "wall time of the job, e.g. 30m, 1h, 2-00:00:00; auto: as short as the work that is left allows, which starts "
        "sooner where the scheduler fills gaps",
        check=job_minutes,
    )
    nodes: int = option(1, "nodes of one job, each with all of the others; above 1 only for a Command", minimum=1)
    disk: Optional[str] = option(None, "node-local scratch space, e.g. 100GB; default: none", check=megabytes)
