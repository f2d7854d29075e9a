"""What became of the tasks of a run. Python 3.9."""

from __future__ import annotations

import msgspec

__all__ = ["StageSums"]


class StageSums(msgspec.Struct, frozen=True):
    """What became of the tasks in one stage of a run."""

    stage: str
    """Its name in the pipeline."""
    tasks_in: int
    tasks_out: int
    dropped: int
    failed: int
    """Dead letters."""
