"""`prepare` in processes of its own: for decoding that holds Python's lock. Python 3.9.

Each constructs the stage and does not set it up: no model and no GPU is loaded there, only what the constructor's
parameters name. They are started, never forked: the stage process has threads, and perhaps CUDA. They are below its
keeper and end with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from hpcurate.model import provide_weights
from hpcurate.stage import Stage, members
from hpcurate.stage_process.batches import Prepared
from hpcurate.stage_process.messages import Hello
from hpcurate.stage_process.raised import RAISED, Raised
from hpcurate.stage_process.stacks import write_on_signal
from hpcurate.task import Saved, Task, put_saved, saved_of

NO_SETUP = "with prepare=processes setup() was not called here: use what the constructor set, or prepare=threads"
_STAGE: list[Stage[Any, Any]] = []
"""That of this process."""


class InProcesses:
    """See `Preparer`."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max(1, self._hello.worker.cpus), get_context("spawn"), initializer=_construct, initargs=(self._hello,)
        )

    def begin(self, tasks: Sequence[Task]) -> list[Future[Prepared]]:
        """See `Preparer`. Where a process has died the tasks that it had fail; these get new ones."""
        try:
            return [self._pool.submit(_prepare, task, saved_of(task)) for task in tasks]
        except BrokenExecutor:
            self._pool = self._new()
            return [self._pool.submit(_prepare, task, saved_of(task)) for task in tasks]

    def close(self) -> None:
        """See `Preparer`. They are waited for: a forked process leaves without doing so, and would wait for ever."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _construct(hello: Hello) -> None:
    """Once in each process. Libraries compute with one thread here: there are as many processes as cores."""
    from hpcurate.stage_process.main import construct

    write_on_signal()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    if hello.weights:
        provide_weights(hello.weights, None, hello.remote_code)
    _STAGE[:] = [construct(hello, secrets=True)]


def _prepare(task: Task, saved: Mapping[str, Saved]) -> Prepared:
    began, raised = time.monotonic(), None
    put_saved(task, saved)  # a task crosses with its fields alone
    try:
        _STAGE[0].prepare(task)
    except RAISED as error:
        raised = Raised.of(error)
        if getattr(error, "obj", None) in members(_STAGE[0]):  # an AttributeError; Python 3.9's does not say of what
            raised.message += f"; {NO_SETUP}"
    return Prepared(task, began, time.monotonic(), dict(task.memory), raised)
