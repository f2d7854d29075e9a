"""What both forms of an inference stage have in common: a network, its results, and what is made of them.

Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Optional, TypeVar

from hpcurate.errors import PipelineError, StageError
from hpcurate.inference.device import no_gradients, to_device, to_host
from hpcurate.stage import Stage, WorkerInfo
from hpcurate.task import Task

In = TypeVar("In", bound=Task)
Out = TypeVar("Out", bound=Task)

_FORMS = ("postprocess", "postprocess_each")


class InferenceStage(Stage[In, Out]):
    """Base of `BatchInference` and `LoaderInference`."""

    written: ClassVar[tuple[str, ...]] = ("inference",)
    """Methods that a subclass has to define."""
    device: Optional[str] = None
    """"cuda" or "cpu", from `setup` on."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse a class that lacks a method: the constructor runs in the driver, before anything starts."""
        _check_defined(cls)
        return super().__new__(cls, *args, **kwargs)

    # -- written by the user ------------------------------------------------------------------------

    def load_model(self, device: str) -> None:
        """Once per stage process: load the network, and put it on `device`, "cuda" or "cpu"."""

    def inference(self, batch: Any) -> Any:
        """Results for the tasks of a batch, in their order: an array, tensor or list with one result per task on the
        first axis, or a tuple or dict of these. No gradients are kept.
        """
        raise NotImplementedError

    def postprocess_each(self, task: In, result: Any) -> Optional[Out]:
        """What is passed on for one task: the task with fields filled in, or a child of it; None passes on nothing.

        Results are in main memory. Without a `self.drop(task, reason)`, None counts as not returned.
        """
        raise NotImplementedError

    def postprocess(self, tasks: list[In], results: list[Any]) -> list[Out]:
        """The same for all tasks of a batch at once; define this or `postprocess_each`."""
        made = (self.postprocess_each(task, result) for task, result in zip(tasks, results))
        return [task for task in made if task is not None]

    # -- used by the engine -------------------------------------------------------------------------

    def setup(self, worker: WorkerInfo) -> None:
        """Load the model. A subclass that defines `setup` itself calls this one."""
        super().setup(worker)
        self.device = worker.device
        self.load_model(worker.device)

    def infer(self, batch: Any) -> Any:
        """What `inference` returns for a batch that is on the device, in main memory."""
        if self.device is None:
            name = type(self).__qualname__
            raise StageError(f"{name} does not know its device; call super().setup(worker) at the start of its setup()")
        with no_gradients():
            return to_host(self.inference(to_device(batch, self.device)))


def _check_defined(cls: type[InferenceStage[Any, Any]]) -> None:
    """Raise PipelineError that names the class and what it lacks, or has twice."""
    missing = [name for name in cls.written if not _defines(cls, name)]
    if missing:
        raise PipelineError(f"{cls.__qualname__} does not define {', '.join(f'{name}()' for name in missing)}")
    forms = [name for name in _FORMS if _defines(cls, name)]
    if len(forms) != 1:
        has = "both postprocess() and postprocess_each()" if forms else "neither postprocess() nor postprocess_each()"
        raise PipelineError(f"{cls.__qualname__} defines {has}; define one: of a whole batch, or of each task")


def _defines(cls: type, name: str) -> bool:
    """Whether a class, or a base of it that is no part of this package, has a method of its own."""
    return not getattr(cls, name).__module__.startswith("hpcurate.inference.")
