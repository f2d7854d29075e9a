"""One try of a shard: its batches go through the stage, and every task is accounted for. Python 3.9."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import msgspec

from hpcurate.errors import ProgramKilled, SetupLost, StageError, StoreFailed
from hpcurate.failures import DeadLetter
from hpcurate.stage import Stage
from hpcurate.stage_process.amounts import amounts_of, amounts_of_all
from hpcurate.stage_process.batches import Batch, PrepareDied
from hpcurate.stage_process.feed import Report
from hpcurate.stage_process.files import AttemptFiles
from hpcurate.stage_process.gpu_errors import GpuLost, free_gpu_memory, gpu_lost
from hpcurate.stage_process.kept import pass_on
from hpcurate.stage_process.lineage import Lineage
from hpcurate.stage_process.logged import Entry
from hpcurate.stage_process.messages import InWork, ShardJob
from hpcurate.stage_process.output import ShardOutput
from hpcurate.stage_process.raised import MEMORY, RAISED, Raised, killed, setup_lost
from hpcurate.stage_process.reached import reached_by, weight_of
from hpcurate.stage_process.scope import BatchScope
from hpcurate.stage_process.set_up import SetUpStage, wrong_type
from hpcurate.stage_process.store_errors import blame_store, own_io
from hpcurate.stage_process.tries import GPU_OOM, Fault, Tries
from hpcurate.store.notes import line_of
from hpcurate.system.failpoints import failpoint
from hpcurate.task import Task

NEW = "self.child(tasks, Cls, id=key, …) keeps the id"
MOST_NAMED = 100
"""Tasks of a batch that are named as in work: the first ones. Which one is to blame is known only if it is alone."""


class MemberFailed(Exception):
    """A member of the stage raised: which one; the error is the cause."""

    def __init__(self, member: str) -> None:
        super().__init__(member)
        self.member = member


class Attempt:
    """One try of a shard: its batches, whole or task by task. `ahead` are the ids that are prepared meanwhile."""

    def __init__(
        self,
        stage: SetUpStage,
        job: ShardJob,
        report: Report,
        output: ShardOutput,
        ahead: Callable[[], list[str]],
        restored: Callable[[bytes], bytes] = lambda rows: rows,
    ) -> None:
        """`restored`: rows as they may be written, without names of this node."""
        self._stage, self._job, self._report, self._output, self._ahead = stage, job, report, output, ahead
        self._writer, self._restored = stage.writer(job.root), restored
        self._seen: set[str] = set()
        self._ask_in: Optional[float] = None
        self._tries = Tries(job, output.counts, report)
        self._memory = stage.memory
        self._kills = self._memory.kills()
        self.files = AttemptFiles(job)
        self._weight = 0.0
        """Of the tasks that have ended."""
        self._refused = ""
        """Key of the group that is being refused."""

    def batch(self, batch: Batch, ask_in: Optional[float] = None) -> None:
        """Process one batch, in parts where that is needed."""
        self._ask_in = ask_in
        if batch.refused:
            self._refuse(batch)
        elif self._job.poison and any(name in self._job.poison for name in batch.names):
            for single in batch.again(1):
                self._unless_poison(single)
        elif self._job.whole and len(batch.rows) != 1:
            self._whole(batch)
        elif self._stage.fits and len(batch) > self._stage.fits:
            for part in batch.parts(self._stage.fits):
                self.batch(part)
        else:
            self._several(batch)

    def _unless_poison(self, single: Batch) -> None:
        poison = self._job.poison.get(single.names[0])
        if poison is None:
            self._several(single)
        else:
            kind = poison.kind.value
            self._fail(single, {single.rows[0]: Fault(self._stage.names[0], kind, poison.why, kind=kind)})

    def _refuse(self, batch: Batch) -> None:
        """Dead letters, untried; of a group that is too large some at a time."""
        self._fail(batch, {batch.rows[0]: Fault(self._stage.names[0], "StageError", batch.refused)})

    def _whole(self, batch: Batch) -> None:
        """No single task is to blame here: the stage's own error ends the attempt."""
        while True:
            for fault in self._prepared(batch).values():
                raise fault.raised()
            try:
                return self._process(batch)
            except MemberFailed as failed:
                error = failed.__cause__ or failed
                fault = self._fault(failed.member, error)
                if not self._tries.again(batch.rows, fault):
                    raise (fault.raised() if fault.of_memory else error) from None
            batch = self._after_pause(batch)

    def _several(self, batch: Batch) -> None:
        """What `prepare` failed for are dead letters; the others are processed together, then one by one if need be."""
        faults = batch.spread(self._prepared(batch))
        if len(batch) > 1 and any(one.error == GPU_OOM for one in faults.values()):
            return self._in_halves(batch, len(batch))
        if len(batch) > 1 and any(one.of_memory for one in faults.values()):
            return self._one_by_one(batch, {})
        rest = batch.without(faults)
        fault = self._tried(rest) if rest.rows else None
        if fault is not None and fault.error == GPU_OOM and len(rest) > 1:
            self._in_halves(batch, len(rest))
        elif fault is not None and len(rest) > 1:
            if self._tries.worth(fault):
                self._tries.count(fault)  # whose fault it was is not known: each has all its tries by itself
            self._one_by_one(batch, faults)
        else:
            self._fail(batch, faults if fault is None else {**faults, rest.rows[0]: fault})

    def _one_by_one(self, batch: Batch, faults: Mapping[int, Fault]) -> None:
        """Its tasks in order, each by itself; some have failed already."""
        for single in batch.again(1):
            if single.rows[0] in faults:
                self._fail(single, faults)
            else:
                self._several(single)

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

    def _tried(self, batch: Batch) -> Optional[Fault]:
        """Why it failed for good; None once it is processed. A task by itself is tried again where that is worth it."""
        while (fault := self._try(batch)) is not None and len(batch) == 1 and self._tries.again(batch.rows, fault):
            batch = self._after_pause(batch)
            for unprepared in self._prepared(batch).values():
                return unprepared
        return fault

    def _try(self, batch: Batch) -> Optional[Fault]:
        """None once it is processed. The error itself is let go: it refers to all that was in work, GPU memory too."""
        try:
            self._process(batch)
        except (StoreFailed, GpuLost, SetupLost, ProgramKilled, Raised):
            raise
        except MemberFailed as failed:
            return self._fault(failed.member, failed.__cause__ or failed)
        except RAISED as error:
            return self._fault(self._stage.names[0], error)
        return None

    def _fault(self, stage: str, error: BaseException) -> Fault:
        """In words. Where the kernel killed a program meanwhile, it is for want of memory, whatever its caller says."""
        fault, kills = Fault.of(stage, error), self._memory.kills()
        if kills <= self._kills:
            return fault
        self._kills = kills
        message = f"{fault.message}; meanwhile the kernel killed a process here, as there was not enough main memory"
        return msgspec.structs.replace(fault, message=message, names={*fault.names, MEMORY})

    def _fail(self, batch: Batch, faults: Mapping[int, Fault]) -> None:
        """Dead letters of some of its units, in order. Raises what says that there was not enough main memory."""
        if not faults:
            return
        faults = batch.spread(faults)
        for fault in faults.values():
            if fault.of_memory:
                raise fault.raised()
        for row, line in zip(batch.rows, batch.lines):
            if row in faults:
                self._dead_letter(batch, row, line, faults[row])  # as it was read: the stage may have changed it
        self._count_failed(batch, faults)
        if any(fault.error == GPU_OOM for fault in faults.values()):
            batch.forget()
            free_gpu_memory()

    def _count_failed(self, batch: Batch, faults: Mapping[int, Fault]) -> None:
        """Groups, if they are; one that is refused in several batches once."""
        if not batch.groups:
            return
        failed = sum(batch.rows[unit.start] in faults for unit in batch.units)
        self._output.failed_groups(0 if batch.refused and self._refused == batch.names[0] else failed)
        self._refused = batch.names[0] if batch.refused else ""

    def _dead_letter(self, batch: Batch, row: int, line: bytes, fault: Fault) -> None:
        what = {name: value for name, value in msgspec.structs.asdict(fault).items() if name != "names"}
        task, amounts = json.loads(line), amounts_of(batch.decoded(row, line))
        self._weight += task.get("weight", 0.0)
        letter = DeadLetter(id=task["id"], task=task, row=row, tries=self._tries.of(row), **what)
        self._output.dead_letter(letter, amounts)

    def _prepared(self, batch: Batch) -> dict[int, Fault]:
        """Begin with the batch: row → why `prepare` failed for good.

        Those that are worth another try have it first, side by side: the rest of the batch waits. Raises StoreFailed,
        GpuLost, SetupLost, PrepareDied.
        """
        faults = self._waited(batch)
        while again := [row for row, fault in faults.items() if self._tries.again((row,), fault)]:
            self._tries.pause(again, self._in_work(batch))
            part = batch.fresh(again)
            late = self._waited(part)
            batch.put(part)
            faults = {**{row: fault for row, fault in faults.items() if row not in again}, **late}
        return faults

    def _after_pause(self, batch: Batch) -> Batch:
        """The same tasks once more."""
        batch.forget()
        again = batch.fresh(batch.rows)
        self._tries.pause(batch.rows, self._in_work(again))
        return again

    def _in_work(self, batch: Batch) -> tuple[str, ...]:
        return tuple(batch.names[:MOST_NAMED] + self._ahead())

    def _waited(self, batch: Batch) -> dict[int, Fault]:
        ask_in, self._ask_in = self._ask_in, None
        in_work, reached = self._in_work(batch), reached_by(batch.tasks, self._output.counts.tasks_in, self._weight)
        self._report(InWork(shard=self._job.shard, tasks=in_work, ask_in=ask_in, reached=reached))
        if len(batch) == 1:
            self.note(line_of(batch.names[0], batch.rows[0]))
        asked = time.monotonic()
        try:
            errors, seconds = batch.wait()
        except PrepareDied as died:
            fault = self._fault(self._stage.names[0], died)
            raise (fault.raised() if fault.of_memory else died) from None
        self._output.counts.waiting_seconds += time.monotonic() - asked
        if seconds is not None:
            self._stage.measured.prepared(seconds)
        for error in errors.values():
            failed = self._not_the_tasks(error)
            if failed is not None:
                raise failed from error
        return {row: self._fault(self._stage.names[0], error) for row, error in errors.items()}

    def _process(self, batch: Batch) -> None:
        """One batch through all members; nothing is written unless all of them succeed."""
        inputs, tasks = [task.id for task in batch.tasks], batch.tasks
        weight, amounts = weight_of(tasks), amounts_of_all(tasks, self._stage.types[0][0])  # before they are changed
        started = time.monotonic()
        owners: set[str] = set()
        logged: list[Entry] = []
        try:
            lineage = Lineage.of(inputs)
            returned = self._members(batch, lineage, owners, logged)
            rows, named = self._rows_of(returned)
            weighs = _sum_of_weights(returned)
            self._check(lineage.unique)
            self._output.check_logged(logged)
            self.files.check(named)
        except Exception as error:
            failed = self._not_the_tasks(error)
            self.files.discard(owners)
            if failed is not None:
                raise failed from error
            raise
        except BaseException:
            self.files.discard(owners)
            raise
        self._output.counts.process_seconds += time.monotonic() - started
        failpoint("attempt.mid_write")
        if self._seen:
            self._seen |= lineage.unique
        else:
            self._seen = lineage.unique
        passed = lineage.passed()
        self._weight += weight
        made = amounts_of_all(returned, self._stage.types[-1][1])
        self._output.batch(len(inputs), returned, rows, len(passed), weighs, amounts, made, batch.groups)
        self._output.drops(lineage.drops, inputs, passed)
        self._output.left_out(lineage.omissions)
        self._output.log(logged)
        self._tries.passed(batch.rows)
        if owners or named:
            self.files.passed_on(owners, lineage.survivors(), named)

    def _rows_of(self, returned: Sequence[Task]) -> tuple[bytes, dict[str, Task]]:
        """As they may be written, and the files that they name."""
        rows, named = self._writer.rows_of(returned)
        return self._restored(rows), named

    def _not_the_tasks(self, error: BaseException) -> Optional[Exception]:
        """What ends the attempt instead: the store fails, or this process can do no more."""
        store = blame_store(error, self._job.directory, self._stage.files)
        return store or gpu_lost(error) or setup_lost(error) or self._killed(error)

    def _killed(self, error: BaseException) -> Optional[Exception]:
        """What ends the attempt where a signal ended a program of the stage: the kernel may have sent it."""
        found = killed(error)
        if found is None:
            return None
        fault = self._fault(self._stage.names[0], found)
        return fault.raised() if fault.of_memory else found

    def note(self, line: bytes) -> None:
        """Make durable what is in work from now on, where that is asked for."""
        if self._job.note:
            with own_io("writing", self._job.note):
                self._stage.files.append(self._job.note, line)

    def _check(self, ids: set[str]) -> None:
        if self._seen and (repeated := self._seen.intersection(ids)):
            raise StageError(f"task id {sorted(repeated)[0]!r} came out of this shard before")

    def _members(self, batch: Batch, lineage: Lineage, owners: set[str], logged: list[Entry]) -> list[Task]:
        tasks, keys = batch.tasks, batch.keys
        for stage, name, types in zip(self._stage.members, self._stage.names, self._stage.types):
            if not tasks and not self._job.whole:
                break
            scope = BatchScope(name, self.files, self._job.checkpoint, stage.brief_drops)
            scope.keys, keys = keys, {}  # of the first member
            stage.bind(scope)
            try:
                joins = self._job.joins and stage is self._stage.members[0]
                given = tasks
                tasks = self._member(stage, name, types, given, scope, lineage, joins)
                pass_on(given, tasks, scope.saved)
            except RAISED as error:
                raise MemberFailed(name) from error
            finally:
                owners |= scope.owners
                logged += scope.logged if len(self._stage.names) == 1 else [one.of_member() for one in scope.logged]
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
        joins: bool,
    ) -> list[Task]:
        returned = stage.process(list(tasks))
        if not isinstance(returned, list):
            given = "None" if returned is None else f"a {type(returned).__name__}"
            raise StageError(f"{name}: process() returned {given}; return a list of tasks, [] if nothing is left")
        for kind in dict.fromkeys(map(type, returned)):
            if kind is not types[1]:
                raise StageError(f"{name} {wrong_type(type(stage), types, kind)}")
        if joins and not {id(task) for task in tasks}.isdisjoint(map(id, returned)):
            raise StageError(f"{name} returned a task that came in; with several upstreams, make new ones: {NEW}")
        lineage.step(name, tasks, returned, scope.drops, scope.omissions)
        return returned


def _sum_of_weights(tasks: Sequence[Task]) -> float:
    """Raises StageError where one is no finite number."""
    weights = [task.weight for task in tasks]
    total = sum(weights)
    if type(total) is not float:  # whole numbers, or those of numpy
        total = sum(map(float, weights))
    if math.isfinite(total):
        return total
    for task in tasks:
        if not math.isfinite(task.weight):
            raise StageError(f"task {task.id!r} has the weight {task.weight}; a weight is a finite number")
    return total
