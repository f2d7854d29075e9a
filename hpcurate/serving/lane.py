"""The stage processes of one worker: each request goes through them in order, and they are replaced where they fail."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec

from hpcurate.failures import Ending
from hpcurate.masks import mask
from hpcurate.serving.plans import PlannedStep, Way, fits, same_spec
from hpcurate.serving.printed import Printed
from hpcurate.serving.served import Event, Failed, Line, OutFile, Result, Working
from hpcurate.serving.tasks import outcome_of, rows_of
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.messages import Done, ShardJob
from hpcurate.store.rows import codec
from hpcurate.task import Task
from hpcurate.units import megabytes
from hpcurate.worker.hosts import Log, SetupFailed, ShardEnded
from hpcurate.worker.hosts.spawned import StageProcess
from hpcurate.worker.node_staging import Place

__all__ = ["Cause", "Interrupted", "Lane", "Prepared", "Request"]

Cause = Literal["cancelled", "memory", "ending"]
"""Why somebody else ended a process."""
KINDS: dict[Ending, Literal["timeout", "room", "crash"]] = {Ending.TIMEOUT: "timeout", Ending.STORE: "room"}
"""Of endings that are no crash: what the store refuses is, of a server, its own files."""
GONE = (Ending.CRASH, Ending.FREE)
"""How a request ends whose process was gone before it had begun: killed by somebody, or ended for its memory."""
Prepared = Callable[[PlannedStep, int], tuple[WorkerInfo, Place]]
"""(step, worker) → what its process is told, and what its node holds for it."""


@attrs.define(frozen=True)
class Interrupted(Exception):
    """A process was ended while it had a request."""

    cause: Cause


class Request(msgspec.Struct):
    """One that was accepted, until its folder is removed."""

    id: str
    folder: str
    task: Task
    way: Way
    tell: Callable[[Event], None]
    result: Result | None = None
    cancelled: bool = False
    place: int = 0
    """In the queue, as it was told."""
    until: float | None = None
    """When its folder is removed, by the monotonic clock; None: it has not ended."""


@attrs.define
class _Process:
    """One step's process, and what it was last given."""

    step: PlannedStep
    host: StageProcess
    ready: bool = False
    """Whether it is set up."""


class Lane:
    """One request at a time. `run` is called by one thread; `interrupt`, `used` by any."""

    def __init__(self, number: int, prepared: Prepared, request_s: float, log: Log) -> None:
        self.number, self._prepared, self._request_s, self._log = number, prepared, request_s, log
        self._processes: dict[str, _Process] = {}
        self._request: str | None = None
        """That is in work."""
        self._step_now = ""
        """The step that has it; empty between two."""
        self._cause: Cause | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._tell: Callable[[Event], None] = lambda event: None
        self._printed = Printed(self._heard, f"printed-{number}")

    # -- what others may ask ------------------------------------------------------------------------

    @property
    def request(self) -> str | None:
        """That it has in work."""
        return self._request

    def interrupt(self, cause: Cause, request: str | None = None, step: str | None = None) -> bool:
        """End the process that has a request in work: this one, or whichever it is. Whether there was one."""
        with self._lock:
            if self._request is None or request not in (None, self._request) or step not in (None, self._step_now):
                return False
            self._cause = self._cause or cause
            process = self._processes.get(self._step_now)
        if process:
            process.host.kill()
        return True

    def check_memory(self) -> None:
        """End what has more memory in use than its step asks for."""
        for name, process in list(self._processes.items()):
            most = megabytes(process.step.plan.stage.resources.memory)
            used = process.host.used_mb()
            if used <= most:
                continue
            self._log(f"worker {self.number}: {name} has {used} MiB in use, its resources.memory are {most} MiB")
            if not self.interrupt("memory", step=name):
                self._drop(name)

    # -- its own thread -----------------------------------------------------------------------------

    def set_up(self, way: Way) -> None:
        """All processes of the way, before there is a request. Raises SetupFailed."""
        for step in way.steps:
            self._process(step)

    def run(self, request: Request) -> Result | Failed:
        """Take a task through all steps. Raises Interrupted, OSError."""
        with self._lock:
            self._request, self._tell = request.id, request.tell
            self._cause = "cancelled" if request.cancelled else None
        try:
            found = self._through(request)
        finally:
            self._printed.hear_all()
            with self._lock:
                cause = self._cause
                self._request, self._step_now, self._cause = None, "", None

        if cause in ("cancelled", "ending"):  # whoever took it back was told so
            raise Interrupted(cause)
        return found

    def _through(self, request: Request) -> Result | Failed:
        folder, steps, found = request.folder, request.way.steps, _Found()
        rows, count = Path(folder, "input.jsonl"), 1
        rows.write_bytes(codec(request.way.takes).encode(request.task) + b"\n")
        for number, step in enumerate(steps):
            attempt = os.path.join(folder, f"{number:02d}-{step.name}")
            os.mkdir(attempt, 0o700)
            done = self._step(step, _job(request, step, rows, count, attempt, self._request_s), number, len(steps))
            if isinstance(done, Failed):
                return done
            rows, count = Path(attempt, "tasks.jsonl"), done.counts.tasks_out
            found.add(step.name, attempt, done)
            if not count:
                break
        if found.failed and not count:
            return _as_failed(found.failed[0])
        return found.result(*(outcome_of(steps[-1].returns, folder, rows.read_bytes()) if count else ((), ())))

    def close(self) -> None:
        """End all processes in order; none is set up any more."""
        with self._lock:
            self._closed, processes = True, list(self._processes.values())
            self._processes.clear()
        with ThreadPoolExecutor(len(processes) or 1) as each:
            list(each.map(_end, processes))
        self._printed.close()

    def _step(self, step: PlannedStep, job: ShardJob, number: int, of: int) -> Failed | Done:
        """Raises Interrupted."""
        with self._lock:
            self._step_now = step.name
        self._raise_if_interrupted()
        ready = self._is_ready(step)
        try:
            self._tell(Working(step.name, number, of, setting_up=not ready))
            process = self._process(step)
            if not ready:
                self._tell(Working(step.name, number, of))
            before, spec = process.step.plan.stage.spec, step.plan.stage.spec
            adjusted = None if same_spec(before, spec) else spec
            done = process.host.run(msgspec.structs.replace(job, adjusted=adjusted))
            process.step = step
        except ShardEnded as ended:
            if ready and not ended.in_flight and not self._cause and ended.ending in GONE:  # and nobody had seen it
                self._drop(step.name)
                return self._step(step, job, number, of)
            return self._ended(step, ended)
        except SetupFailed as error:
            self._drop(step.name)
            self._raise_if_interrupted()
            return Failed(kind="setup", stage=step.name, message=str(error), traceback=error.traceback)
        finally:
            with self._lock:
                self._step_now = ""
        return done

    def _ended(self, step: PlannedStep, ended: ShardEnded) -> Failed:
        """Why, and its process is dropped: the next request has a new one. Raises Interrupted."""
        self._drop(step.name)
        self._raise_if_interrupted()
        if self._cause == "memory" or ended.ending is Ending.OOM:
            why = f"it needs more memory than stages.{step.name}.resources.memory={step.plan.stage.resources.memory}"
            return Failed(kind="memory", stage=step.name, message=why)
        message, begins, below = ended.detail.partition("\nTraceback (")
        kind: Literal["timeout", "room", "crash"] = KINDS.get(ended.ending, "crash")
        return Failed(kind=kind, stage=step.name, message=message, traceback=begins.lstrip() + below)

    def _raise_if_interrupted(self) -> None:
        if self._cause in ("cancelled", "ending"):
            raise Interrupted(self._cause)

    # -- processes ----------------------------------------------------------------------------------

    def _is_ready(self, step: PlannedStep) -> bool:
        found = self._processes.get(step.name)
        return found is not None and not found.host.ended() and fits(found.step, step)

    def _process(self, step: PlannedStep) -> _Process:
        """The step's process, set up: the one there is, if it fits. Raises SetupFailed."""
        if not self._is_ready(step):
            self._drop(step.name)
            info, place = self._prepared(step, self.number)
            made = _Process(step, StageProcess(step.plan, info, place, self._log, printed=self._printed.descriptor))
            with self._lock:
                if self._closed:
                    raise SetupFailed("the server is ending")
                self._processes[step.name] = made
            self._raise_if_interrupted()
            made.host.start()
            made.ready = True
            return made
        return self._processes[step.name]

    def _drop(self, name: str) -> None:
        with self._lock:
            process = self._processes.pop(name, None)
        if process:
            process.host.kill()

    def replace(self, way: Way) -> None:
        """Set up again what was dropped, before the next request asks for it. What fails here fails again there."""
        with suppress(SetupFailed):
            for step in way.steps:
                if step.name not in self._processes:
                    self._process(step)

    def _heard(self, line: str) -> None:
        """What a process prints goes to the log, and to whoever waits for the request."""
        text = mask(line)
        self._log(text)
        if self._request:
            self._tell(Line(text))


def _end(process: _Process) -> None:
    """In order, if it is set up; what is being set up is not waited for."""
    process.host.close() if process.ready else process.host.kill()


class _Found:
    """What the steps have left of a request."""

    def __init__(self) -> None:
        self.dropped: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self._logged: list[dict[str, Any]] = []
        self._seconds: dict[str, float] = {}

    def add(self, step: str, attempt: str, done: Done) -> None:
        """What one step has left."""
        self._seconds[step] = done.counts.seconds
        self.dropped += rows_of(attempt, "dropped")
        self.failed += rows_of(attempt, "failed")
        self._logged += [{"stage": step, **row} for row in rows_of(attempt, "logged")]

    def result(self, tasks: tuple[dict[str, Any], ...], files: tuple[OutFile, ...]) -> Result:
        """All of it."""
        dropped = [{key: row.get(key) for key in _DROP} for row in self.dropped]
        failed = [{key: row.get(key) for key in _FAILURE} for row in self.failed]
        return Result(
            tasks=tasks, files=files, dropped=tuple(dropped), failed=tuple(failed), logged=tuple(self._logged),
            seconds=self._seconds,
        )  # fmt: skip


_DROP = ("id", "stage", "reason", "value", "threshold", "measure")
_FAILURE = ("id", "stage", "error", "message")


def _job(request: Request, step: PlannedStep, rows: Path, count: int, attempt: str, request_s: float) -> ShardJob:
    stage = step.plan.stage
    return ShardJob(
        shard=request.id,
        directory=attempt,
        ref=os.path.join(request.id, os.path.basename(attempt)),
        root=os.path.dirname(request.folder),
        inputs=[(os.fspath(rows), 0, count)],
        batch_size=stage.batch_size,
        tries=stage.tries,
        retry_on=stage.retry_on,
        backoff=stage.backoff,
        timeout=min(request_s, stage.task_timeout or request_s),
    )


def _as_failed(row: dict[str, object]) -> Failed:
    text = {key: str(row.get(key) or "") for key in ("stage", "error", "message", "traceback")}
    said = f"{text['error']}: {text['message']}".removesuffix(": ")
    return Failed(kind="failed", stage=text["stage"], message=said, traceback=text["traceback"])
