"""What a try ended with, and whether its task is tried again in this attempt: after pauses that grow. Python 3.9."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

import msgspec

from hpcurate.failures import FailureKind
from hpcurate.stage_process.feed import Report
from hpcurate.stage_process.gpu_errors import gpu_oom
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.raised import MEMORY, Raised, described, names_of
from hpcurate.store.stats import ShardCounts
from hpcurate.system.clock import growing
from hpcurate.transient import worth

LONGEST_S = 60.0
"""Of the pauses between two tries."""
GPU_OOM = FailureKind.GPU_OOM.value


class Fault(msgspec.Struct, frozen=True):
    """What a try ended with, as a dead letter says it."""

    stage: str
    error: str
    message: str
    traceback: str = ""
    kind: str = FailureKind.EXCEPTION.value
    names: Collection[str] = ()
    """See `names_of`."""

    @classmethod
    def of(cls, stage: str, error: BaseException) -> Fault:
        """In words: the error itself refers to all that was in work, GPU memory too."""
        full, names, (name, message, trace) = gpu_oom(error), names_of(error), described(error)
        if full is None:
            return cls(stage, name, message, trace, names=names)
        return cls(stage, GPU_OOM, str(full), trace, GPU_OOM, names)

    @property
    def of_memory(self) -> bool:
        """Whether there was not enough main memory."""
        return MEMORY in self.names

    def raised(self) -> Raised:
        """To be raised where it ends the attempt."""
        return Raised(self.error, self.message, self.traceback, names=self.names)


class Tries:
    """Which tasks of a shard are tried again, by row, and how many tries those needed that came right."""

    def __init__(self, job: ShardJob, counts: ShardCounts, report: Report) -> None:
        self._job, self._counts, self._report = job, counts, report
        self._failed: dict[int, int] = {}
        """Row → tries by itself that failed, and were worth another."""

    def again(self, rows: Sequence[int], fault: Fault) -> bool:
        """Whether these rows, which failed together, are to be tried once more."""
        failed = 1 + max(self._failed.get(row, 0) for row in rows or _NONE)
        if failed >= self._job.tries or not self.worth(fault):
            return False
        self._failed.update(dict.fromkeys(rows or _NONE, failed))
        self.count(fault)
        which = f", row {rows[0]}" if len(rows) == 1 else ""
        said = f"{fault.error}: {fault.message[:500]}"
        print(f"shard {self._job.shard}{which}: try {failed} of {self._job.tries} failed: {said}", flush=True)
        return True

    def worth(self, fault: Fault) -> bool:
        """Whether it is of a kind that is tried again."""
        return not fault.of_memory and fault.error != GPU_OOM and worth(fault.names, self._job.retry_on)

    def count(self, fault: Fault) -> None:
        """A try failed, and there is another."""
        self._counts.retried[fault.error] = self._counts.retried.get(fault.error, 0) + 1

    def pause(self, rows: Sequence[int], in_work: Sequence[str]) -> None:
        """Wait before these rows are tried once more. It is no hang: the supervisor is told how long it takes."""
        failed = max(self._failed[row] for row in rows or _NONE)
        seconds = next(islice(growing(self._job.backoff, LONGEST_S), failed - 1, None))
        seconds *= random.SystemRandom().uniform(0.75, 1)  # not all at once; the stage's own random numbers stay its
        self._report(InWork(shard=self._job.shard, tasks=tuple(in_work), pause=seconds))
        time.sleep(seconds)

    def passed(self, rows: Iterable[int]) -> None:
        """These rows came right."""
        for row in rows if self._failed else ():
            failed = self._failed.pop(row, 0)
            if failed:
                needed = str(failed + 1)
                self._counts.tries[needed] = self._counts.tries.get(needed, 0) + 1

    def of(self, row: int) -> int:
        """How often a row that fails for good was tried by itself."""
        return self._failed.get(row, 0) + 1


_NONE = (-1,)
"""Stands for the rows of a shard without any."""
