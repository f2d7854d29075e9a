"""Where `prepare` runs: in threads of the stage process, or in processes of its own. Python 3.9."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from hpcurate.stage import Stage, members
from hpcurate.stage_process.batches import Prepared
from hpcurate.task import Task


class Preparer(Protocol):
    """Runs `prepare` ahead of `process`."""

    def begin(self, tasks: Sequence[Task]) -> list[Future[Prepared]]:
        """Begin to prepare these tasks."""

    def close(self) -> None:
        """Begin no more."""


def has_prepare(stage: Stage[Any, Any]) -> bool:
    """Whether there is anything to prepare: the first member of a chain alone does."""
    return type(members(stage)[0]).prepare is not Stage.prepare


class InThreads:
    """In threads of this process."""

    def __init__(self, stage: Stage[Any, Any], threads: int) -> None:
        self._stage, self._pool = stage, ThreadPoolExecutor(max(1, threads))

    def begin(self, tasks: Sequence[Task]) -> list[Future[Prepared]]:
        """See `Preparer`."""
        return [self._pool.submit(self._prepare, task) for task in tasks]

    def _prepare(self, task: Task) -> Prepared:
        began = time.monotonic()
        self._stage.prepare(task)
        return Prepared(task, began, time.monotonic())

    def close(self) -> None:
        """See `Preparer`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
