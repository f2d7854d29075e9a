"""Run one shard through a stage: read rows, batch, process, account for every task, write rows.

The same code runs in a stage process (any launcher) and in-process (`inline`). It writes into the attempt
directory only; the supervisor commits. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
import time
import traceback
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO, Callable, Optional
from urllib.parse import quote

import attrs

from hpcurate.errors import StageError
from hpcurate.stage import Chain, Stage, members, task_types
from hpcurate.stage_process.lineage import Drop, Lineage
from hpcurate.store.rows import Codec, codec
from hpcurate.system.failpoints import failpoint
from hpcurate.task import File, Task, stable_id

LOOK_AHEAD = 2
"""Batches whose `prepare` runs ahead of `process`."""

Report = Callable[[list[str]], None]


@attrs.define(frozen=True, kw_only=True)
class ShardJob:
    """What a stage process is told to do."""

    shard: str
    directory: str
    """Attempt directory, to write into."""
    ref: str
    """What the directory will be called, relative to the store's `stages/`."""
    root: str
    """The store's `stages/` folder, for the files that rows refer to."""
    inputs: list[tuple[str, int, int]]
    """Committed `tasks.jsonl` files with the row range [lo, hi) of each."""
    batch_size: int
    whole: bool = False
    """A gather: `process` is called once even if there are no tasks."""
    isolate: bool = False
    """One task at a time, because an earlier attempt crashed."""
    poison: dict[str, str] = attrs.field(factory=dict)
    """Task id → why it is a dead letter without another try."""


@attrs.define(kw_only=True)
class ShardCounts:
    """What became of the input (I6): `tasks_in == passed + dropped + failed`."""

    tasks_in: int = 0
    tasks_out: int = 0
    passed: int = 0
    dropped: int = 0
    failed: int = 0
    weight_out: float = 0.0
    reasons: dict[str, int] = attrs.field(factory=dict)
    """Drop reason → tasks, chain members' own included."""
    errors: dict[str, int] = attrs.field(factory=dict)
    """Error type → tasks."""
    seconds: float = 0.0
    process_seconds: float = 0.0
    peak_memory_mb: float = 0.0


class BatchScope:
    """Lends one stage the means to make children, drop tasks and write files, for one batch."""

    def __init__(self, stage: str, job: ShardJob, kept: Collection[str] = ()) -> None:
        self.stage = stage
        self._kept = kept
        self.drops: list[Drop] = []
        self.owners: set[str] = set()
        self._job = job
        self._ordinals: dict[str, int] = {}

    def child_id(self, parent: Task, wanted: Optional[str]) -> str:
        """See `Scope`."""
        ordinal = self._ordinals[parent.id] = self._ordinals.get(parent.id, -1) + 1
        if wanted is None:
            return stable_id(parent.id, self.stage, ordinal)
        if _is_random(wanted):
            raise StageError(f"{self.stage}: id {wanted!r} is random; derive ids from the data, or leave them out")
        return wanted

    def drop(self, task: Task, reason: str) -> None:
        """See `Scope`."""
        self.drops.append(Drop(task, str(reason), self.stage))

    def file(self, task: Task, name: str) -> File:
        """See `Scope`."""
        parts = name.split("/")
        if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise StageError(f"{self.stage}: {name!r} is not a relative file name")
        if task.id in self._kept:
            raise StageError(f"{self.stage}: an earlier task of this shard has the id {task.id!r}, and files under it")
        owner = owner_folder(task.id)
        self.owners.add(task.id)
        path = os.path.join(self._job.directory, "files", owner, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return File(f"{self._job.ref}/files/{owner}/{name}", path)


def owner_folder(task_id: str) -> str:
    """Folder name of a task's files: its id, with what a file name cannot hold escaped."""
    name = quote(task_id.encode("utf-8", "surrogateescape"), safe="+,=@ ")
    if name in (".", "..") or len(name) > 200:
        return stable_id(task_id)
    return name


def _is_random(task_id: str) -> bool:
    try:
        return uuid.UUID(task_id).version in (1, 4, 7)
    except ValueError:
        return False


class ShardRunner:
    """A stage that is set up, ready to run shards."""

    def __init__(self, stage: Stage[Any, Any], *, threads: int = 1, name: Optional[str] = None) -> None:
        self.stage = stage
        self.members = members(stage)
        names = stage.member_names()
        self.names = [name or names[0]] if len(self.members) == 1 else [f"{name}/{n}" if name else n for n in names]
        self.types = [task_types(type(member)) for member in self.members]
        self._waiting: list[_Batch] = []
        self._prepares = type(self.members[0]).prepare is not Stage.prepare
        self._pool = ThreadPoolExecutor(max(1, threads)) if self._prepares else None

    def close(self) -> None:
        """Tear the stage down."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self.stage.teardown()

    def run(self, job: ShardJob, report: Report = lambda ids: None) -> ShardCounts:
        """Process every task of the shard and write `tasks.jsonl`, `dropped.jsonl`, `failed.jsonl`.

        `report` hears the ids of each batch before it is processed. A failing task never fails the shard.
        """
        with _Attempt(self, job, report) as attempt:
            for batch in self._batches(job, report):
                attempt.batch(batch)
        return attempt.counts

    def ahead(self) -> list[str]:
        """Ids of the tasks whose `prepare` runs ahead: in flight as well, if the process dies."""
        return [task.id for batch in self._waiting for task in batch.tasks]

    def _batches(self, job: ShardJob, report: Report) -> Iterator[_Batch]:
        """Batches in order; with `prepare`, the next ones are prepared meanwhile, unless a culprit is sought."""
        source = codec(self.types[0][0], job.root)
        alone = job.isolate and not job.whole
        ahead = LOOK_AHEAD if self._prepares and not alone else 0
        waiting = self._waiting = []
        for lines in _grouped(_rows(job), 1 if alone else job.batch_size):
            waiting.append(_Batch(lines, source, self._prepare_all))
            if ahead:
                report(self.ahead())
                waiting[-1].begin()
            if len(waiting) > ahead:
                yield waiting.pop(0)
        while waiting:
            yield waiting.pop(0)
        if job.whole and not sum(high - low for _, low, high in job.inputs):
            yield _Batch([], source, self._prepare_all)

    def _prepare_all(self, tasks: Sequence[Task]) -> list[Future[None]]:
        return [self._pool.submit(self.stage.prepare, task) for task in tasks] if self._pool else []


class _Batch:
    """Rows of one batch, decoded; `begin` sets `prepare` under way."""

    def __init__(self, lines: list[bytes], source: Codec[Any], prepare: Callable[[Sequence[Task]], list[Future[None]]]):
        self.lines = lines
        self._source = source
        self._prepare = prepare
        self.tasks = [source.decode(line) for line in lines]
        self._prepared: Optional[list[Future[None]]] = None

    def begin(self) -> list[Future[None]]:
        """Start `prepare` of every task, once."""
        if self._prepared is None:
            self._prepared = self._prepare(self.tasks)
        return self._prepared

    def ready(self) -> list[Task]:
        """The tasks, once prepared. Raises what `prepare` raised."""
        for future in self.begin():
            future.result()
        return self.tasks

    def singles(self) -> Iterator[_Batch]:
        """Each task alone and fresh: a failed try may have changed them."""
        for line in self.lines:
            yield _Batch([line], self._source, self._prepare)


class _Attempt:
    """The output of one shard in the making."""

    def __init__(self, runner: ShardRunner, job: ShardJob, report: Report) -> None:
        self.counts = ShardCounts()
        self._runner, self._job, self._report = runner, job, report
        self._out = codec(runner.types[-1][1], job.root)
        self._seen: set[str] = set()
        self._kept: set[str] = set()
        self._started = time.monotonic()
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> _Attempt:
        for name in ("tasks", "dropped"):
            self._open(name)
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._files.values():
            file.close()
        self.counts.seconds = time.monotonic() - self._started
        self.counts.peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def _open(self, name: str) -> BinaryIO:
        if name not in self._files:
            self._files[name] = open(os.path.join(self._job.directory, f"{name}.jsonl"), "wb")  # noqa: SIM115 - closed in __exit__
        return self._files[name]

    def batch(self, batch: _Batch) -> None:
        """Process one batch, task by task where that is asked for or needed."""
        poisoned = [i for i, task in enumerate(batch.tasks) if task.id in self._job.poison]
        if poisoned or (self._job.isolate and not self._job.whole and len(batch.tasks) > 1):
            for single in batch.singles():
                self._single(single)
        elif len(batch.tasks) == 1:
            self._single(batch)
        elif self._job.whole:
            self._process(batch)
        else:
            self._several(batch)

    def _several(self, batch: _Batch) -> None:
        try:
            self._process(batch)
        except Exception:
            for single in batch.singles():
                self._single(single)

    def _single(self, batch: _Batch) -> None:
        task = batch.tasks[0]
        if task.id in self._job.poison:
            self._fail(task, self._runner.names[0], "crash", self._job.poison[task.id], "")
            return
        try:
            self._process(batch)
        except Exception as error:
            stage = getattr(error, "hpcurate_stage", self._runner.names[0])
            self._fail(task, stage, type(error).__name__, str(error), _short_traceback(error))

    def _process(self, batch: _Batch) -> None:
        """One batch through all members; nothing is written unless all of them succeed."""
        self._report([task.id for task in batch.tasks] + self._runner.ahead())
        started = time.monotonic()
        owners: set[str] = set()
        try:
            tasks = batch.ready()
            inputs = [task.id for task in tasks]
            lineage = Lineage.of(tasks)
            returned = self._members(tasks, lineage, owners)
            lines = [self._out.encode(task) for task in returned]
            _check_weights(returned)
            repeated = self._seen.intersection(task.id for task in returned)
            if repeated:
                raise StageError(f"task id {sorted(repeated)[0]!r} came out of this shard before")
        except BaseException:
            self._remove_files(owners)
            raise
        self.counts.process_seconds += time.monotonic() - started
        self._remove_files(owners - lineage.survivors())
        self._kept |= owners & lineage.survivors()
        self._write(inputs, returned, lines, lineage)

    def _members(self, tasks: list[Task], lineage: Lineage, owners: set[str]) -> list[Task]:
        runner = self._runner
        for stage, name, types in zip(runner.members, runner.names, runner.types):
            if not tasks and not self._job.whole:
                break
            scope = BatchScope(name, self._job, self._kept)
            stage.bind(scope)
            try:
                tasks = self._member(stage, name, types[1], tasks, scope, lineage)
            except Exception as error:
                error.hpcurate_stage = name  # type: ignore[attr-defined]
                raise
            finally:
                owners |= scope.owners
                stage.bind(None)
        return tasks

    @staticmethod
    def _member(
        stage: Stage[Any, Any], name: str, kind: type, tasks: list[Task], scope: BatchScope, lineage: Lineage
    ) -> list[Task]:
        returned = stage.process(list(tasks))
        if returned is None:
            returned = []
        if not isinstance(returned, list):
            raise StageError(f"{name}: process() returns a list of tasks, got {type(returned).__name__}")
        for task in returned:
            if type(task) is not kind:
                raise StageError(f"{name} declares {kind.__qualname__} and returned a {type(task).__qualname__}")
        lineage.step(name, tasks, returned, scope.drops)
        return returned

    def _write(self, inputs: list[str], returned: list[Task], lines: list[bytes], lineage: Lineage) -> None:
        failpoint("attempt.mid_write")
        counts, roots = self.counts, set(inputs)
        self._seen.update(task.id for task in returned)
        self._open("tasks").write(b"".join(line + b"\n" for line in lines))
        passed = len(roots & lineage.survivors())
        self._write_drops(lineage.drops, roots - lineage.survivors())
        counts.tasks_in += len(inputs)
        counts.tasks_out += len(returned)
        counts.weight_out += sum(float(task.weight) for task in returned)
        counts.passed += passed
        counts.dropped += len(inputs) - passed

    def _write_drops(self, drops: Sequence[Drop], ended: Collection[str]) -> None:
        """A row for each drop, and one for each input of which nothing is left: `"input": true` means just that."""
        last: dict[str, Drop] = {}
        for drop in drops:
            row = {"id": drop.task.id, "input": drop.task.id in ended, "stage": drop.stage, "reason": drop.reason}
            self._row("dropped", row, drop.task)
            self.counts.reasons[drop.reason] = self.counts.reasons.get(drop.reason, 0) + 1
            last.update(dict.fromkeys(drop.ancestors, drop))
        for task_id in sorted(last.keys() & (set(ended) - {drop.task.id for drop in drops})):
            row = {"id": task_id, "input": True, "stage": last[task_id].stage, "reason": last[task_id].reason}
            self._row("dropped", row, None)

    def _fail(self, task: Task, stage: str, kind: str, message: str, trace: str) -> None:
        self.counts.tasks_in += 1
        self.counts.failed += 1
        self.counts.errors[kind] = self.counts.errors.get(kind, 0) + 1
        row = {"id": task.id, "stage": stage, "error": kind, "message": message, "traceback": trace}
        self._row("failed", row, task)

    def _row(self, name: str, row: dict[str, Any], task: Optional[Task]) -> None:
        row["task"] = None
        with suppress(Exception):  # a task that no row can hold is named by its id alone
            row["task"] = json.loads(codec(type(task), self._job.root).encode(task)) if task else None
        self._open(name).write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def _remove_files(self, owners: set[str]) -> None:
        for owner in owners:
            shutil.rmtree(os.path.join(self._job.directory, "files", owner_folder(owner)), ignore_errors=True)


def _rows(job: ShardJob) -> Iterator[bytes]:
    for path, low, high in job.inputs:
        with open(path, "rb") as file:
            for number, line in enumerate(file):
                if number >= high:
                    break
                if number >= low:
                    yield line.rstrip(b"\n")


def _grouped(rows: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _check_weights(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if not math.isfinite(task.weight):
            raise StageError(f"task {task.id!r} has the weight {task.weight}; a weight is a finite number")


def _short_traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False))[-6000:]


def types_of(stage: Stage[Any, Any]) -> tuple[type[Task], type[Task]]:
    """What a stage takes and returns; a chain takes what its first member takes."""
    if isinstance(stage, Chain):
        return types_of(stage.stages[0])[0], types_of(stage.stages[-1])[1]
    return task_types(type(stage))


def give_up(job: ShardJob, stage: str, reason: str) -> ShardCounts:
    """Write every input task of the shard as a dead letter, from its raw row: no stage is needed."""
    counts = ShardCounts(errors={})
    for name in ("tasks", "dropped"):
        open(os.path.join(job.directory, f"{name}.jsonl"), "wb").close()
    with open(os.path.join(job.directory, "failed.jsonl"), "wb") as failed:
        for line in _rows(job):
            task = json.loads(line)
            row = {
                "id": task["id"],
                "stage": stage,
                "error": "exhausted",
                "message": reason,
                "traceback": "",
                "task": task,
            }
            failed.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
            counts.tasks_in += 1
    counts.failed = counts.tasks_in
    counts.errors["exhausted"] = counts.failed
    return counts
