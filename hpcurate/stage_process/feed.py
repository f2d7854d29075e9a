"""The batches of one shard, in order; the next ones are prepared while one is processed. Python 3.9."""

from __future__ import annotations

from typing import Any, Callable, Optional

from hpcurate.stage_process.batches import Batch, Prepare
from hpcurate.stage_process.input import blocks_of, rows_in
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.store.files import Files
from hpcurate.store.rows import Codec

Report = Callable[[InWork], None]


class Feed:
    """The batches of one shard. Whoever fills it and whoever takes from it are never at it side by side."""

    def __init__(self, job: ShardJob, source: Codec[Any], files: Files, prepare: Prepare, report: Report) -> None:
        self.job, self.report, self._source, self._prepare = job, report, source, prepare
        self.isolate = job.isolate and not job.whole
        self._rows = rows_in(job)
        size = self._size = (1 if self.isolate else job.batch_size) or self._rows
        self.batches = -(-self._rows // size) if size else 1
        self._blocks = blocks_of(job, size, files)
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
        block = next(self._blocks, None)
        if block is None and not (self.job.whole and not self._rows and not self._first):
            return False
        rows = range(self._first, min(self._first + self._size, self._rows))
        self._waiting.append(Batch(rows, block or b"", self._source, self._prepare))
        self._first += max(1, len(rows))
        return True
