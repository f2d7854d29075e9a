"""The batches of one shard, in order; the next ones are prepared while one is processed. Python 3.9."""

from __future__ import annotations

from typing import Any, Callable, Optional

from hpcurate.stage_process.batches import Batch, Prepare, grouped
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.output import rows_of
from hpcurate.store.files import Files
from hpcurate.store.rows import Codec

Report = Callable[[InWork], None]


class Feed:
    """The batches of one shard. Whoever fills it and whoever takes from it are never at it side by side."""

    def __init__(self, job: ShardJob, source: Codec[Any], files: Files, prepare: Prepare, report: Report) -> None:
        self.job, self.report, self._source, self._prepare = job, report, source, prepare
        self.isolate = job.isolate and not job.whole
        size, self._rows = 1 if self.isolate else job.batch_size, sum(high - low for _, low, high in job.inputs)
        self.batches = -(-self._rows // size) if size else 1
        self._groups = grouped(rows_of(job, files), size)
        self._first = 0
        self._waiting: list[Batch] = []
        """Read, and under way if they are prepared ahead."""

    def __len__(self) -> int:
        """How many batches wait."""
        return len(self._waiting)

    def waiting(self) -> list[str]:
        """Ids of the tasks that are prepared ahead: in flight as well, if the process dies."""
        return [task.id for batch in self._waiting for task in batch.tasks]

    def fill(self, ahead: int) -> None:
        """Read and begin to prepare as many batches as may wait. Raises StoreFailed."""
        while len(self._waiting) < ahead and self._read():
            self.report(InWork(shard=self.job.shard, tasks=tuple(self.waiting())))
            self._waiting[-1].begin()

    def next(self) -> Optional[Batch]:
        """The next batch; None at the end. Raises StoreFailed."""
        if not self._waiting and not self._read():
            return None
        return self._waiting.pop(0)

    def cancel(self) -> None:
        """Nobody takes the rest."""
        for batch in self._waiting:
            batch.cancel()
        self._waiting.clear()

    def _read(self) -> bool:
        lines = next(self._groups, None)
        if lines is None and not (self.job.whole and not self._rows and not self._first):
            return False
        rows = range(self._first, self._first + len(lines or ()))
        self._waiting.append(Batch(rows, lines or [], self._source, self._prepare))
        self._first += max(1, len(rows))
        return True
