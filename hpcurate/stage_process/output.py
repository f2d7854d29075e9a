"""The output of one shard in the making: rows, drops, dead letters, and what is counted of them (I6)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Optional

import msgspec

from hpcurate.errors import StageError, StoreFailed
from hpcurate.failures import Blame, DeadLetter
from hpcurate.masks import mask, mask_plain
from hpcurate.stage_process.amounts import amounts_of
from hpcurate.stage_process.device import peak_gpu_mb
from hpcurate.stage_process.input import rows_in, rows_of
from hpcurate.stage_process.lineage import Drop, Omission
from hpcurate.stage_process.logged import Entry, check_limits
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.store_errors import own_io
from hpcurate.store.access import make_folders
from hpcurate.store.dropped import DroppedRow, LeftOutRow
from hpcurate.store.files import REAL, Files
from hpcurate.store.rows import codec
from hpcurate.store.stats import NOT_RETURNED, Amounts, LeftOut, Logged, ShardCounts, add_amounts, rounded
from hpcurate.system.memory import peaks_mb
from hpcurate.system.processes import cpu_seconds, descendants
from hpcurate.task import Task

MOST_REASONS = 100
"""Different reasons that are counted of one shard; a stage that has another for each task has made no reasons."""
OTHER_REASONS = "other reasons"
"""What the rest is counted as; their rows have them in full."""


class Written(msgspec.Struct):
    """What was written to a file."""

    rows: int = 0
    size: int = 0
    """Bytes."""

    def add(self, rows: bytes, count: int) -> None:
        """Some more."""
        self.rows += count
        self.size += len(rows)


class ShardOutput:
    """Writes `tasks.jsonl`, and if there are any `dropped.jsonl`, `failed.jsonl` and `left_out.jsonl` into an attempt's
    folder.

    Whatever goes wrong with these files is the store's failure and ends the attempt: nothing is written after an error.
    """

    def __init__(self, job: ShardJob, files: Files = REAL, shown: Callable[[bytes], bytes] = lambda rows: rows) -> None:
        """`shown`: rows for people without names of this node; those of tasks have none."""
        self._shown = shown
        self.counts = ShardCounts()
        self._open, self._size = files.open, files.size
        self._job, self._started, self._cpu = job, time.monotonic(), cpu_seconds()
        self._files: dict[str, BinaryIO] = {}
        self._written: dict[str, Written] = {}
        self._figures = 0
        self._reasons: dict[str, str] = {}
        """As they are written."""

    def __enter__(self) -> ShardOutput:
        self._write("tasks", b"", 0)
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        for name, file in self._files.items():
            with suppress(OSError) if kind else own_io("closing", self._path(name)):
                file.close()
        if not kind:
            self._check()
            self.counts.peak_gpu_memory_mb = peak_gpu_mb()
            self._round()
        self.counts.seconds = time.monotonic() - self._started
        below = descendants(os.getpid())
        self.counts.cpu_seconds = max(0.0, round(cpu_seconds(below) - self._cpu, 3))
        self.counts.peak_memory_mb = round(peaks_mb(below), 1)

    def batch(
        self,
        inputs: int,
        returned: Sequence[Task],
        rows: bytes,
        passed: int,
        weight: float,
        amounts_in: Optional[Amounts] = None,
        amounts_out: Optional[Amounts] = None,
        groups: int = 0,
    ) -> None:
        """What a batch of so many inputs of these amounts became: tasks of that weight, in these rows.

        All that is not `passed` on is dropped. `groups`: that the inputs were, of a stage that gets whole ones.
        """
        self._write("tasks", rows, len(returned))
        counts = self.counts
        counts.tasks_in += inputs
        counts.groups_in += groups
        counts.tasks_out += len(returned)
        counts.weight_out += weight
        counts.passed += passed
        counts.dropped += inputs - passed
        add_amounts(counts.amounts_in, amounts_in or {})
        add_amounts(counts.amounts_out, amounts_out or {})

    def sorted(self, rows: Sequence[bytes]) -> None:
        """Rows that are passed on as they are."""
        self._write("tasks", b"".join(rows), len(rows))
        self.counts.tasks_in += len(rows)
        self.counts.tasks_out += len(rows)
        self.counts.passed += len(rows)

    def failed_groups(self, count: int) -> None:
        """So many groups ended as dead letters."""
        self.counts.groups_in += count
        self.counts.groups_failed += count

    def drops(self, drops: Sequence[Drop], inputs: Sequence[str], passed: Collection[int]) -> None:
        """A row for each drop, and one for each input of which nothing is left: `"input": true` means just that.

        `inputs` are the ids of the batch, `passed` the ordinals of those that were passed on.
        """
        if not drops:
            return
        open_ends = set(range(len(inputs))).difference(passed)
        last: dict[int, Drop] = {}
        for drop in drops:
            ended = [n for n in sorted(drop.origin.inputs & open_ends) if inputs[n] == drop.task.id]
            rows = max(1, len(ended))
            for _ in range(rows):
                self._drop(drop.task.id, drop, bool(ended), None if drop.brief and ended else drop.task)
            self._count_drop(drop, rows)
            last.update(dict.fromkeys(drop.origin.inputs, drop))
            open_ends.difference_update(ended)
        for number in sorted(open_ends & last.keys()):
            self._drop(inputs[number], last[number], True, None)

    def check_logged(self, entries: Sequence[Entry]) -> None:
        """Whether they may come to what was logged before. Raises StageError."""
        check_limits(self.counts.logged, entries)

    def log(self, entries: Sequence[Entry]) -> None:
        """Rows in `logged.jsonl`, and a file for each figure."""
        for entry in entries:
            file = ""
            if entry.kind == "figure":
                self._figures += 1
                file = f"logged/{self._figures}.{entry.suffix}"
                self._write_figure(file, entry.image)
            self._write("logged", entry.line(file))
            one, logged = Logged.of(entry.kind, entry.number, entry.step), self.counts.logged
            logged[entry.name] = logged[entry.name] + one if entry.name in logged else one

    def _write_figure(self, name: str, image: bytes) -> None:
        path = os.path.join(self._job.directory, name)
        with own_io("writing", path):
            make_folders(os.path.dirname(path))
            with self._open(path, "wb") as file:
                file.write(image)

    def left_out(self, omissions: Sequence[Omission]) -> None:
        """A row for each, and their sums."""
        left_out = self.counts.left_out
        for one in omissions:
            shown = self._masked(one.reason)
            row = LeftOutRow(
                id=one.task.id, stage=one.stage, reason=shown, count=one.count, amounts=dict(one.amounts),
                task=self._plain(one.task),
            )  # fmt: skip
            self._write("left_out", row.line())
            reason = _counted_as(shown, left_out)
            left_out[reason] = left_out.get(reason, LeftOut()) + LeftOut(one.count, row.amounts)

    def dead_letter(self, letter: DeadLetter, amounts: Optional[Amounts] = None) -> None:
        """A task that failed for good. The only place that writes one."""
        told = msgspec.structs.replace(letter, message=mask(letter.message), task=mask_plain(letter.task))
        self._write("failed", told.line())
        counts = self.counts
        counts.tasks_in += 1
        counts.failed += 1
        for total in (counts.amounts_in, counts.amounts_failed):
            add_amounts(total, amounts or {})
        counts.errors[letter.error] = counts.errors.get(letter.error, 0) + 1

    def _drop(self, task_id: str, drop: Drop, is_input: bool, task: Optional[Task]) -> None:
        self.counts.not_returned += is_input and drop.reason == NOT_RETURNED
        row = DroppedRow(
            id=task_id, input=is_input, stage=drop.stage, reason=self._masked(drop.reason), value=drop.value,
            threshold=drop.threshold, measure=drop.measure, task=self._plain(task),
        )  # fmt: skip
        self._write("dropped", row.line())

    def _count_drop(self, drop: Drop, rows: int) -> None:
        counts = self.counts
        reason = _counted_as(self._masked(drop.reason), counts.reasons)
        counts.reasons[reason] = counts.reasons.get(reason, 0) + rows
        if amounts := amounts_of(drop.task):
            add_amounts(counts.lost.setdefault(reason, {}), amounts, rows)

    def _masked(self, reason: str) -> str:
        """Looking for secrets takes a while, and reasons are few."""
        if len(self._reasons) > MOST_REASONS:
            self._reasons.clear()
        if reason not in self._reasons:
            self._reasons[reason] = mask(reason)
        return self._reasons[reason]

    def _plain(self, task: Optional[Task]) -> Optional[dict[str, Any]]:
        """The task as its row; None for one that no row can hold: it is known by its id alone."""
        if task is not None:
            with suppress(Exception):
                found: dict[str, Any] = json.loads(codec(type(task), self._job.root).encode(task))
                return found
        return None

    def _path(self, name: str) -> str:
        return os.path.join(self._job.directory, f"{name}.jsonl")

    def _write(self, name: str, rows: bytes, count: int = 1) -> None:
        path, rows = self._path(name), rows if name == "tasks" else self._shown(rows)
        with own_io("writing", path):
            if name not in self._files:
                self._files[name], self._written[name] = self._open(path, "wb"), Written()  # closed in __exit__
            self._files[name].write(rows)
        self._written[name].add(rows, count)

    def _round(self) -> None:
        counts = self.counts
        counts.amounts_in, counts.amounts_out = rounded(counts.amounts_in), rounded(counts.amounts_out)
        counts.amounts_failed = rounded(counts.amounts_failed)
        counts.lost = {reason: rounded(amounts) for reason, amounts in counts.lost.items()}

    def _check(self) -> None:
        """Every input was counted once, and the rows on disk are those that were counted."""
        counts = self.counts
        given = rows_in(self._job)
        ended = counts.passed + counts.dropped + counts.failed
        if not given == counts.tasks_in == ended:
            raise StageError(f"{given} tasks in, {counts.tasks_in} processed, {ended} accounted for: a bug of hpcurate")
        counted = {"tasks": counts.tasks_out, "failed": counts.failed}
        for name, written in self._written.items():
            rows = counted.get(name, written.rows)
            with own_io("reading", self._path(name)):
                if (rows, self._size(self._path(name))) != (written.rows, written.size):
                    self._refuse(name, rows)

    def _refuse(self, name: str, counted: int) -> None:
        found, whole = self._count(self._path(name))
        rows = "rows" if whole else "rows, the last one cut short"
        raise StoreFailed(f"{self._path(name)} has {found} {rows}, {counted} were counted: the store lost them")

    def _count(self, path: str) -> tuple[int, bool]:
        """Lines of a file, and whether the last of them has its end."""
        count, end = 0, b"\n"
        with self._open(path, "rb") as file:
            while block := file.read(1 << 20):
                count, end = count + block.count(b"\n"), block[-1:]
        return count + (end != b"\n"), end == b"\n"


def _counted_as(reason: str, known: Collection[str]) -> str:
    """The reason, unless there are too many already."""
    few = reason in known or reason == NOT_RETURNED or len(known) < MOST_REASONS
    return reason if few else OTHER_REASONS


def give_up(job: ShardJob, stage: str, reason: Blame, files: Files = REAL) -> ShardCounts:
    """Write every input task of the shard as a dead letter, from its raw row: no stage is needed."""
    kind = reason.kind.value
    with ShardOutput(job, files) as output:
        for row, line in enumerate(rows_of(job, files)):
            task = json.loads(line)
            letter = {"id": task["id"], "error": "exhausted", "message": reason.why, "task": task, "row": row}
            output.dead_letter(DeadLetter(stage=stage, kind=kind, **letter))
        if job.groups:  # which rows are one group is not known without the stage: the budget counts too many
            output.failed_groups(output.counts.failed)
        output.counts.names_files_of = []
    return output.counts
