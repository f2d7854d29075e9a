"""The output of one shard in the making: rows, drops, dead letters, and what is counted of them (I6)."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Optional

from hpcurate.failures import DeadLetter
from hpcurate.stage_process.lineage import Drop
from hpcurate.stage_process.messages import ShardJob
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts
from hpcurate.task import Task


class ShardOutput:
    """Writes `tasks.jsonl`, `dropped.jsonl` and, if there are any, `failed.jsonl` into an attempt's folder."""

    def __init__(self, job: ShardJob) -> None:
        self.counts = ShardCounts()
        self._job, self._started = job, time.monotonic()
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> ShardOutput:
        for name in ("tasks", "dropped"):
            self._open(name)
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._files.values():
            file.close()
        self.counts.seconds = time.monotonic() - self._started
        self.counts.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def batch(self, inputs: Sequence[str], returned: Sequence[Task], lines: Sequence[bytes], passed: int) -> None:
        """What a batch of these inputs became; `passed` of them are passed on, the others are dropped."""
        self._open("tasks").write(b"".join(line + b"\n" for line in lines))
        counts = self.counts
        counts.tasks_in += len(inputs)
        counts.tasks_out += len(returned)
        counts.weight_out += sum(float(task.weight) for task in returned)
        counts.passed += passed
        counts.dropped += len(inputs) - passed

    def drops(self, drops: Sequence[Drop], ended: Collection[str]) -> None:
        """A row for each drop, and one for each input of which nothing is left: `"input": true` means just that."""
        last: dict[str, Drop] = {}
        for drop in drops:
            self._drop(drop.task.id, drop, drop.task.id in ended, drop.task)
            self.counts.reasons[drop.reason] = self.counts.reasons.get(drop.reason, 0) + 1
            last.update(dict.fromkeys(drop.ancestors, drop))
        for task_id in sorted(last.keys() & (set(ended) - {drop.task.id for drop in drops})):
            self._drop(task_id, last[task_id], True, None)

    def dead_letter(self, letter: DeadLetter) -> None:
        """A task that failed for good. The only place that writes one."""
        counts = self.counts
        counts.tasks_in += 1
        counts.failed += 1
        counts.errors[letter.error] = counts.errors.get(letter.error, 0) + 1
        self._open("failed").write(letter.line())

    def plain(self, task: Optional[Task]) -> Optional[dict[str, Any]]:
        """The task as its row; None for one that no row can hold: it is known by its id alone."""
        if task is not None:
            with suppress(Exception):
                found: dict[str, Any] = json.loads(codec(type(task), self._job.root).encode(task))
                return found
        return None

    def _drop(self, task_id: str, drop: Drop, is_input: bool, task: Optional[Task]) -> None:
        row = {"id": task_id, "input": is_input, "stage": drop.stage, "reason": drop.reason, "task": self.plain(task)}
        self._open("dropped").write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def _open(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = open(os.path.join(self._job.directory, f"{name}.jsonl"), "wb")  # noqa: SIM115 - closed in __exit__
        return self._files[name]


def rows_of(job: ShardJob) -> Iterator[bytes]:
    """The shard's input, a line each without its end."""
    for path, low, high in job.inputs:
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                if number >= high:
                    break
                if number >= low:
                    yield line.rstrip(b"\n")


def give_up(job: ShardJob, stage: str, reason: str) -> ShardCounts:
    """Write every input task of the shard as a dead letter, from its raw row: no stage is needed."""
    with ShardOutput(job) as output:
        for line in rows_of(job):
            task = json.loads(line)
            letter = DeadLetter(id=task["id"], stage=stage, error="exhausted", message=reason, task=task)
            output.dead_letter(letter)
    return output.counts
