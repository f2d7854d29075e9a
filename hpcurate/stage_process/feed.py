"""The batches of one shard, in order; the next ones are prepared while one is processed. Python 3.9."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

from hpcurate.stage_process.batches import Batch, Prepare
from hpcurate.stage_process.input import blocks_of, rows_in
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.store.files import Files
from hpcurate.store.rows import Codec

Report = Callable[[InWork], None]


class Feed:
    """The batches of one shard. Whoever fills it and whoever takes from it are never at it side by side."""

    def __init__(self, job: ShardJob, batches: Iterator[Batch], report: Report) -> None:
        self.job, self.report, self._batches = job, report, batches
        self.isolate = is_isolated(job)
        self.batches = 0 if job.groups else number_of_batches(job)
        """How many there are; 0: that is not known before the end."""
        self._waiting: list[Batch] = []
        """Read, and under way if they are prepared ahead."""

    def __len__(self) -> int:
        """How many batches wait."""
        return len(self._waiting)

    def waiting(self) -> list[str]:
        """Names of the units that are prepared ahead: in flight as well, if the process dies."""
        return [name for batch in self._waiting for name in batch.names]

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
        batch = next(self._batches, None)
        if batch is not None:
            self._waiting.append(batch)
        return batch is not None


def is_isolated(job: ShardJob) -> bool:
    """Whether each unit is a batch."""
    return job.isolate and not job.whole


def number_of_batches(job: ShardJob) -> int:
    """That the rows of a shard make."""
    size = _batch_size(job)
    return -(-rows_in(job) // size) if size else 1


def _batch_size(job: ShardJob) -> int:
    return (1 if is_isolated(job) else job.batch_size) or rows_in(job)


def batches_of(job: ShardJob, source: Codec[Any], files: Files, prepare: Prepare) -> Iterator[Batch]:
    """So many rows at a time, in order. A stage that gets everything at once gets an empty batch of an empty shard."""
    size, rows, first = _batch_size(job), rows_in(job), 0
    for block in blocks_of(job, size, files):
        numbers = range(first, min(first + size, rows))
        yield Batch(numbers, block, lambda _, data, count: source.decode_rows(data, count), prepare)
        first = numbers.stop
    if job.whole and not rows:
        yield Batch(range(0), b"", lambda _, data, count: source.decode_rows(data, count), prepare)
