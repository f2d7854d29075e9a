"""Run one shard through a stage: read rows, batch, process, account for every task, write rows.

The same code runs in a stage process (any launcher) and in-process (`inline`). It writes into the attempt
directory only; the supervisor commits.
"""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Optional

import attrs

from hpcurate.errors import StageError, StoreFailed
from hpcurate.failures import TRACE, DeadLetter, FailureKind
from hpcurate.stage import Stage, members, task_types
from hpcurate.stage_process.batches import Batch, Writer, grouped
from hpcurate.stage_process.files import AttemptFiles
from hpcurate.stage_process.gpu_errors import GpuLost, free_gpu_memory, gpu_lost, gpu_oom
from hpcurate.stage_process.lineage import Lineage
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.output import ShardOutput, rows_of
from hpcurate.stage_process.scope import BatchScope
from hpcurate.stage_process.store_errors import blame_store, own_io
from hpcurate.store.files import REAL, Files
from hpcurate.store.notes import BEGUN, NOTHING, line_of
from hpcurate.store.rows import codec
from hpcurate.store.stats import ShardCounts
from hpcurate.system.failpoints import failpoint
from hpcurate.task import Task

LOOK_AHEAD = 2
"""Batches whose `prepare` runs ahead of `process`."""

GPU_OOM = FailureKind.GPU_OOM.value
RAISED = (Exception, SystemExit)
"""What a stage may raise that is its own failure: a program's main function often ends with `sys.exit`."""

Report = Callable[[list[str]], None]


class MemberFailed(Exception):
    """A member of the stage raised: which one; the error is the cause."""

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.member = member


class ShardRunner:
    """A stage that is set up, ready to run shards."""

    def __init__(
        self, stage: Stage[Any, Any], *, threads: int = 1, name: Optional[str] = None, files: Files = REAL
    ) -> None:
        self.stage, self.files = stage, files
        self.members = members(stage)
        names = stage.member_names()
        self.names = [name or names[0]] if len(self.members) == 1 else [f"{name}/{n}" if name else n for n in names]
        self.types = [member.task_types for member in self.members]
        self.fits = 0
        """Tasks at once for which the GPU's memory was enough, once it was not; 0: whatever is asked for."""
        self._waiting: list[Batch] = []
        self._writer: Optional[Writer] = None
        self._prepares = type(self.members[0]).prepare is not Stage.prepare
        self._pool = ThreadPoolExecutor(max(1, threads)) if self._prepares else None

    def close(self) -> None:
        """Tear the stage down."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self.stage.teardown()

    def run(self, job: ShardJob, report: Report = lambda ids: None) -> ShardCounts:
        """Process every task of the shard and write `tasks.jsonl`, `dropped.jsonl`, `failed.jsonl`.

        `report` gets the ids of each batch before it is processed. A failing task never fails the shard; a failing
        store does: StoreFailed.
        """
        with ShardOutput(job, self.files) as output:
            attempt = _Attempt(self, job, report, output)
            attempt.note(BEGUN)
            for batch in self._batches(job, report):
                attempt.batch(batch)
            attempt.note(NOTHING)
            attempt.files.finish()
        return output.counts

    def writer(self, root: str) -> Writer:
        """Of the stage's rows; made once, as that takes a while."""
        if self._writer is None or self._writer.root != root:
            self._writer = Writer(self.types[-1][1], root)
        return self._writer

    def ahead(self) -> list[str]:
        """Ids of the tasks whose `prepare` runs ahead: in flight as well, if the process dies."""
        return [task.id for batch in self._waiting for task in batch.tasks]

    def _batches(self, job: ShardJob, report: Report) -> Iterator[Batch]:
        """Batches in order; with `prepare`, the next ones are prepared meanwhile, unless a culprit is sought."""
        source = codec(self.types[0][0], job.root)
        isolate = job.isolate and not job.whole
        ahead = LOOK_AHEAD if self._prepares and not isolate else 0
        waiting = self._waiting = []
        first = 0
        for lines in grouped(rows_of(job, self.files), 1 if isolate else job.batch_size):
            waiting.append(Batch(first, lines, source, self._prepare_all))
            first += len(lines)
            if ahead:
                report(self.ahead())
                waiting[-1].begin()
            if len(waiting) > ahead:
                yield waiting.pop(0)
        while waiting:
            yield waiting.pop(0)
        if job.whole and not sum(high - low for _, low, high in job.inputs):
            yield Batch(0, [], source, self._prepare_all)

    def _prepare_all(self, tasks: Sequence[Task]) -> list[Future[None]]:
        return [self._pool.submit(self.stage.prepare, task) for task in tasks] if self._pool else []


@attrs.define(frozen=True)
class _Fault:
    """What a try ended with, as a dead letter says it."""

    stage: str
    error: str
    message: str
    traceback: str

    @classmethod
    def of(cls, stage: str, error: BaseException) -> _Fault:
        full = gpu_oom(error)
        name = type(error).__name__ if full is None else GPU_OOM
        return cls(stage, name, str(full or error), trace_of(error))


class _Attempt:
    """One try of a shard: its batches, whole or task by task."""

    def __init__(self, runner: ShardRunner, job: ShardJob, report: Report, output: ShardOutput) -> None:
        self._runner, self._job, self._report, self._output = runner, job, report, output
        self._writer = runner.writer(job.root)
        self._seen: set[str] = set()
        self.files = AttemptFiles(job)

    def batch(self, batch: Batch) -> None:
        """Process one batch, task by task where that is asked for or needed."""
        poisoned = any(task.id in self._job.poison for task in batch.tasks)
        if poisoned or (self._job.isolate and not self._job.whole and len(batch.tasks) > 1):
            for single in batch.again(1):
                self._single(single)
        elif len(batch.tasks) == 1:
            self._single(batch)
        elif self._job.whole:
            self._whole(batch)
        elif self._runner.fits and len(batch.tasks) > self._runner.fits:
            for part in batch.parts(self._runner.fits):
                self.batch(part)
        else:
            self._several(batch)

    def _whole(self, batch: Batch) -> None:
        """No single task is to blame here: the stage's own error ends the attempt."""
        try:
            self._process(batch)
        except MemberFailed as failed:
            raise (failed.__cause__ or failed) from None

    def _several(self, batch: Batch) -> None:
        fault = self._try(batch)
        if fault is not None and fault.error == GPU_OOM:
            self._in_halves(batch)
        elif fault is not None:
            for single in batch.again(1):
                self._single(single)

    def _in_halves(self, batch: Batch) -> None:
        """And no more at once from here on, unless it was a task that does not fit alone either."""
        size, before = len(batch.tasks), self._runner.fits
        failed = self._output.counts.errors.get(GPU_OOM, 0)
        fits = self._runner.fits = max(1, size // 2)
        print(f"GPU memory ran out with {size} tasks at once; from here on {fits} at once", flush=True)
        batch.forget()
        free_gpu_memory()
        for part in batch.again(fits):
            self.batch(part)
        if self._output.counts.errors.get(GPU_OOM, 0) > failed:
            self._runner.fits = before

    def _single(self, batch: Batch) -> None:
        task = batch.tasks[0]
        if task.id in self._job.poison:
            self._fail(batch, self._runner.names[0], FailureKind.CRASH.value, self._job.poison[task.id])
            return
        fault = self._try(batch)
        if fault is not None:
            self._fail(batch, fault.stage, fault.error, fault.message, fault.traceback)
            if fault.error == GPU_OOM:
                batch.forget()
                free_gpu_memory()

    def _try(self, batch: Batch) -> Optional[_Fault]:
        """None once it is processed. The error itself is let go: it refers to all that was in work, GPU memory too."""
        try:
            self._process(batch)
        except (StoreFailed, GpuLost):
            raise
        except MemberFailed as failed:
            return _Fault.of(failed.member, failed.__cause__ or failed)
        except RAISED as error:
            return _Fault.of(self._runner.names[0], error)
        return None

    def _fail(self, batch: Batch, stage: str, error: str, message: str, trace: str = "") -> None:
        task = json.loads(batch.lines[0])  # as it was read: the stage may have changed it before it raised
        self._output.dead_letter(
            DeadLetter(
                id=task["id"], stage=stage, error=error, message=message, traceback=trace, task=task, row=batch.first
            )
        )

    def _process(self, batch: Batch) -> None:
        """One batch through all members; nothing is written unless all of them succeed."""
        inputs = [task.id for task in batch.tasks]
        self._report(inputs + self._runner.ahead())
        if len(inputs) == 1:
            self.note(line_of(inputs[0], batch.first))
        owners: set[str] = set()
        try:
            tasks = self._prepared(batch)
            started = time.monotonic()
            lineage = Lineage.of(tasks)
            returned = self._members(tasks, lineage, owners)
            lines, named = self._encoded(returned)
            self._check(returned)
            self.files.check(named)
        except Exception as error:
            failed = blame_store(error, self._job.directory) or gpu_lost(error)
            self.files.discard(owners)
            if failed is not None:
                raise failed from error
            raise
        except BaseException:
            self.files.discard(owners)
            raise
        self._output.counts.process_seconds += time.monotonic() - started
        failpoint("attempt.mid_write")
        self._seen.update(task.id for task in returned)
        passed = lineage.passed()
        self._output.batch(len(inputs), returned, lines, passed=len(passed))
        self._output.drops(lineage.drops, inputs, passed)
        if owners or named:
            self.files.passed_on(owners, lineage.survivors(), named)

    def _prepared(self, batch: Batch) -> list[Task]:
        """The tasks of a batch, for which `process` may have to wait. Raises what `prepare` raised."""
        asked = time.monotonic()
        try:
            return batch.ready()
        finally:
            self._output.counts.waiting_seconds += time.monotonic() - asked

    def note(self, line: bytes) -> None:
        """Make durable what is in work from now on, where that is asked for."""
        if self._job.note:
            with own_io("writing", self._job.note):
                self._runner.files.append(self._job.note, line)

    def _check(self, returned: Sequence[Task]) -> None:
        _check_weights(returned)
        repeated = self._seen.intersection(task.id for task in returned)
        if repeated:
            raise StageError(f"task id {sorted(repeated)[0]!r} came out of this shard before")

    def _encoded(self, returned: Sequence[Task]) -> tuple[list[bytes], dict[str, Task]]:
        """The rows, and each file that one names with the first task whose row does."""
        lines: list[bytes] = []
        named: dict[str, Task] = {}
        files = self._writer.files
        files.clear()
        for task in returned:
            lines.append(self._writer.rows.encode(task))
            if files:
                named.update({file.ref: task for file in files if file.ref not in named})
                files.clear()
        return lines, named

    def _members(self, tasks: list[Task], lineage: Lineage, owners: set[str]) -> list[Task]:
        runner = self._runner
        for stage, name, types in zip(runner.members, runner.names, runner.types):
            if not tasks and not self._job.whole:
                break
            scope = BatchScope(name, self.files)
            stage.bind(scope)
            try:
                tasks = self._member(stage, name, types, tasks, scope, lineage)
            except RAISED as error:
                raise MemberFailed(name) from error
            finally:
                owners |= scope.owners
                stage.bind(None)
        return tasks

    @staticmethod
    def _member(
        stage: Stage[Any, Any],
        name: str,
        types: tuple[type, type],
        tasks: list[Task],
        scope: BatchScope,
        lineage: Lineage,
    ) -> list[Task]:
        returned = stage.process(list(tasks))
        if not isinstance(returned, list):
            given = "None" if returned is None else f"a {type(returned).__name__}"
            raise StageError(f"{name}: process() returned {given}; return a list of tasks, [] if nothing is left")
        for task in returned:
            if type(task) is not types[1]:
                raise StageError(f"{name} {wrong_type(type(stage), types, type(task))}")
        lineage.step(name, tasks, returned, scope.drops)
        return returned


def wrong_type(cls: type[Stage[Any, Any]], types: tuple[type, type], returned: type) -> str:
    """What is wrong with a task of another class than the stage gives here, and the remedy. Pure."""
    declared, given = task_types(cls)[1], types[1]
    if given is declared:
        return f"declares {declared.__qualname__} and returned a {returned.__qualname__}"
    return (
        f"returned a {returned.__qualname__} and was given a {given.__qualname__}: change the tasks that came in, make "
        f"new ones as self.child(task, type(task), …), or declare that it gives something else than it takes"
    )


def _check_weights(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if not math.isfinite(task.weight):
            raise StageError(f"task {task.id!r} has the weight {task.weight}; a weight is a finite number")


def trace_of(error: BaseException) -> str:
    """The end of an exception's own traceback."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))[-TRACE:]
