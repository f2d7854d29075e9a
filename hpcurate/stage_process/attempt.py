"""One try of a shard: its batches go through the stage, and every task is accounted for. Python 3.9."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import attrs

from hpcurate.errors import StageError, StoreFailed
from hpcurate.failures import DeadLetter, FailureKind
from hpcurate.stage import Stage, members, task_types
from hpcurate.stage_process.ahead import Measured
from hpcurate.stage_process.batches import Batch, Writer
from hpcurate.stage_process.feed import Report
from hpcurate.stage_process.files import AttemptFiles
from hpcurate.stage_process.gpu_errors import GpuLost, free_gpu_memory, gpu_lost, gpu_oom
from hpcurate.stage_process.lineage import Lineage
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.output import ShardOutput
from hpcurate.stage_process.raised import RAISED, described
from hpcurate.stage_process.scope import BatchScope
from hpcurate.stage_process.store_errors import blame_store, own_io
from hpcurate.store.files import Files
from hpcurate.store.notes import line_of
from hpcurate.system.failpoints import failpoint
from hpcurate.task import Task

GPU_OOM = FailureKind.GPU_OOM.value


class MemberFailed(Exception):
    """A member of the stage raised: which one; the error is the cause."""

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.member = member


class SetUpStage:
    """A stage that is set up, and what its attempts learn for those after them."""

    def __init__(self, stage: Stage[Any, Any], name: Optional[str], files: Files) -> None:
        self.members, self.files = members(stage), files
        names = stage.member_names()
        self.names = [name or names[0]] if len(self.members) == 1 else [f"{name}/{n}" if name else n for n in names]
        self.types = [member.task_types for member in self.members]
        self.measured = Measured()
        self.fits = 0
        """Tasks at once for which the GPU's memory was enough, once it was not; 0: whatever is asked for."""
        self._writer: Optional[Writer] = None

    def writer(self, root: str) -> Writer:
        """Of the stage's rows; made once, as that takes a while."""
        if self._writer is None or self._writer.root != root:
            self._writer = Writer(self.types[-1][1], root)
        return self._writer


@attrs.define(frozen=True)
class _Fault:
    """What a try ended with, as a dead letter says it."""

    stage: str
    error: str
    message: str
    traceback: str = ""
    kind: str = FailureKind.EXCEPTION.value

    @classmethod
    def of(cls, stage: str, error: BaseException) -> _Fault:
        full, (name, message, trace) = gpu_oom(error), described(error)
        return cls(stage, name, message, trace) if full is None else cls(stage, GPU_OOM, str(full), trace, GPU_OOM)


class Attempt:
    """One try of a shard: its batches, whole or task by task. `ahead` are the ids that are prepared meanwhile."""

    def __init__(
        self, stage: SetUpStage, job: ShardJob, report: Report, output: ShardOutput, ahead: Callable[[], list[str]]
    ) -> None:
        self._stage, self._job, self._report, self._output, self._ahead = stage, job, report, output, ahead
        self._writer = stage.writer(job.root)
        self._seen: set[str] = set()
        self._ask_in: Optional[float] = None
        self.files = AttemptFiles(job)

    def batch(self, batch: Batch, ask_in: Optional[float] = None) -> None:
        """Process one batch, in parts where that is needed."""
        self._ask_in = ask_in
        if any(task.id in self._job.poison for task in batch.tasks):
            for single in batch.again(1):
                self._unless_poison(single)
        elif self._job.whole and len(batch.rows) != 1:
            self._whole(batch)
        elif self._stage.fits and len(batch.rows) > self._stage.fits:
            for part in batch.parts(self._stage.fits):
                self.batch(part)
        else:
            self._several(batch)

    def _unless_poison(self, single: Batch) -> None:
        poison = self._job.poison.get(single.tasks[0].id)
        if poison is None:
            self._several(single)
        else:
            kind = poison.kind.value
            self._fail(single, {single.rows[0]: _Fault(self._stage.names[0], kind, poison.why, kind=kind)})

    def _whole(self, batch: Batch) -> None:
        """No single task is to blame here: the stage's own error ends the attempt."""
        for error in self._prepared(batch).values():
            raise error
        try:
            self._process(batch)
        except MemberFailed as failed:
            raise (failed.__cause__ or failed) from None

    def _several(self, batch: Batch) -> None:
        """What `prepare` failed for are dead letters; the others are processed together, then one by one if need be."""
        faults = {row: _Fault.of(self._stage.names[0], error) for row, error in self._prepared(batch).items()}
        rest = batch.without(faults)
        fault = self._try(rest) if rest.rows else None
        if len(batch.rows) > 1 and any(one.error == GPU_OOM for one in faults.values()):
            self._in_halves(batch, len(batch.rows))
        elif fault is not None and fault.error == GPU_OOM and len(rest.rows) > 1:
            self._in_halves(batch, len(rest.rows))
        elif fault is not None and len(rest.rows) > 1:
            for single in batch.again(1):
                if single.rows[0] in faults:
                    self._fail(single, faults)
                else:
                    self._several(single)
        else:
            self._fail(batch, faults if fault is None else {**faults, rest.rows[0]: fault})

    def _in_halves(self, batch: Batch, size: int) -> None:
        """And no more at once from here on, unless it was a task that does not fit alone either."""
        before, failed = self._stage.fits, self._output.counts.errors.get(GPU_OOM, 0)
        fits = self._stage.fits = max(1, size // 2)
        print(f"GPU memory ran out with {size} tasks at once; from here on {fits} at once", flush=True)
        batch.forget()
        free_gpu_memory()
        for part in batch.again(fits):
            self.batch(part)
        if self._output.counts.errors.get(GPU_OOM, 0) > failed:
            self._stage.fits = before

    def _try(self, batch: Batch) -> Optional[_Fault]:
        """None once it is processed. The error itself is let go: it refers to all that was in work, GPU memory too."""
        try:
            self._process(batch)
        except (StoreFailed, GpuLost):
            raise
        except MemberFailed as failed:
            return _Fault.of(failed.member, failed.__cause__ or failed)
        except RAISED as error:
            return _Fault.of(self._stage.names[0], error)
        return None

    def _fail(self, batch: Batch, faults: Mapping[int, _Fault]) -> None:
        """Dead letters of some of its rows, in order."""
        for row, line in zip(batch.rows, batch.lines):
            if row in faults:
                fault, task = faults[row], json.loads(line)  # as it was read: the stage may have changed it
                self._output.dead_letter(DeadLetter(id=task["id"], task=task, row=row, **attrs.asdict(fault)))
        if any(fault.error == GPU_OOM for fault in faults.values()):
            batch.forget()
            free_gpu_memory()

    def _prepared(self, batch: Batch) -> dict[int, BaseException]:
        """Begin with the batch: row → what `prepare` raised. Raises StoreFailed, GpuLost, PrepareDied."""
        inputs = [task.id for task in batch.tasks]
        ids, self._ask_in, ask_in = tuple(inputs + self._ahead()), None, self._ask_in
        self._report(InWork(shard=self._job.shard, tasks=ids, ask_in=ask_in))
        if len(inputs) == 1:
            self.note(line_of(inputs[0], batch.rows[0]))
        asked = time.monotonic()
        errors, seconds = batch.wait()
        self._output.counts.waiting_seconds += time.monotonic() - asked
        if seconds is not None:
            self._stage.measured.prepared(seconds)
        for error in errors.values():
            failed = blame_store(error, self._job.directory) or gpu_lost(error)
            if failed is not None:
                raise failed from error
        return errors

    def _process(self, batch: Batch) -> None:
        """One batch through all members; nothing is written unless all of them succeed."""
        inputs, tasks = [task.id for task in batch.tasks], batch.tasks
        started = time.monotonic()
        owners: set[str] = set()
        try:
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

    def note(self, line: bytes) -> None:
        """Make durable what is in work from now on, where that is asked for."""
        if self._job.note:
            with own_io("writing", self._job.note):
                self._stage.files.append(self._job.note, line)

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
        for stage, name, types in zip(self._stage.members, self._stage.names, self._stage.types):
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
