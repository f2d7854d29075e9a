"""Inference over batches: fields of tasks are loaded ahead, collated by name, and the results split again.

Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Optional, TypeVar

from hpcurate.errors import PipelineError, StageError
from hpcurate.fields import suggestion
from hpcurate.inference.base import InferenceStage
from hpcurate.inference.collate import MODES, collate, split
from hpcurate.inference.device import Ahead
from hpcurate.stage import WorkerInfo
from hpcurate.task import Task

__all__ = ["BatchInference"]

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)

_LOADED, _SENT = "inference.loaded", "inference.sent"
"""Keys of `task.memory`."""


class BatchInference(InferenceStage[In, Out]):
    """A stage that loads each task's inputs on the CPU, ahead, and runs a network over `batch_size` tasks at a time.

    Define `load`, `inference`, one of `postprocess_each` and `postprocess`, and usually `load_model`. On a GPU the
    tensors among the stacked and padded fields are copied to it while it computes the batch before: from pinned
    memory, on a stream of their own (untried, as is all copying here, until somebody has run it on one).
    """

    written = ("load", "inference")
    collate: ClassVar[Mapping[str, str]] = {}
    """Field of `load` → `stack` (equal shapes, one new first axis), `pad` (to the longest along the first axis, with
    NAME_mask beside it), `list`, or `none` (not in the batch). Fields that are not named are lists."""
    fill: ClassVar[Mapping[str, float]] = {}
    """Padded field → what it is filled up with; 0 where nothing is said."""
    _ahead: Optional[tuple[int, Ahead]] = None
    """Process that has the GPU, and what copies to it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """See InferenceStage; and refuse modes that do not exist."""
        for name, mode in cls.collate.items():
            if mode not in MODES:
                raise PipelineError(f"{cls.__qualname__}: collate[{name!r}]={mode!r}; {suggestion(str(mode), MODES)}")
        for name in cls.fill:
            if cls.collate.get(name) != "pad":
                raise PipelineError(f"{cls.__qualname__}: fill[{name!r}] is set, and collate[{name!r}] is not 'pad'")
        return super().__new__(cls, *args, **kwargs)

    def load(self, task: In) -> Mapping[str, Any]:  # type: ignore[override]  # here the word is the user's to define
        """The inputs of one task by name: CPU work, done ahead, in threads or processes.

        What was saved with a task is read by `hpcurate.savers.load(task.saved[name])`.
        """
        raise NotImplementedError

    def loaded(self, task: In) -> Mapping[str, Any]:
        """What `load` returned for a task of the batch; also in `postprocess` and `postprocess_each`."""
        if _LOADED not in task.memory:  # not prepared: a member of a chain after the first
            task.memory[_LOADED] = _checked(task, self.load(task))
        found: Mapping[str, Any] = task.memory[_LOADED]
        return found

    # -- used by the engine -------------------------------------------------------------------------

    def setup(self, worker: WorkerInfo) -> None:
        """See InferenceStage."""
        super().setup(worker)
        if worker.device == "cuda":
            self._ahead = (os.getpid(), Ahead())

    def prepare(self, task: In) -> None:
        """Load one task and send it on its way to the GPU, if this process has one."""
        loaded = self.loaded(task)
        if self._ahead and self._ahead[0] == os.getpid():
            task.memory[_SENT] = self._ahead[1].send(loaded, self._to_send())

    def process(self, tasks: list[In]) -> list[Out]:
        """Collate, infer, split, and make of it what is passed on."""
        if not tasks:
            return []
        ids = [task.id for task in tasks]
        batch = collate(ids, [self._fields(task) for task in tasks], self.collate, self.fill)
        returned = self.postprocess(tasks, split(self.infer(batch), ids))
        for task in tasks:  # the next member of a chain loads its own
            task.memory.pop(_LOADED, None)
        return returned

    def _to_send(self) -> list[str]:
        return [name for name, mode in self.collate.items() if mode in ("stack", "pad")]

    def _fields(self, task: In) -> dict[str, Any]:
        """What was loaded; what was sent to the GPU as it is there, once: a second try copies again."""
        sent = task.memory.pop(_SENT, None)
        return {**self.loaded(task), **(sent.arrived() if sent else {})}


def _checked(task: Task, loaded: Any) -> Mapping[str, Any]:
    if not isinstance(loaded, Mapping):
        raise StageError(f"load() returned a {type(loaded).__name__} for task {task.id!r}; return a dict of its inputs")
    return loaded
