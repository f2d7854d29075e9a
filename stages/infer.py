"""Any class with `infer(request) → result` as a stage: `{_target_: stages.infer.Infer, target: mypackage.MyModel}`.

It needs nothing but attrs and msgspec, so the environment is whatever the class needs.
"""

from __future__ import annotations

import os
from typing import Any

import attrs

from hpcurate import File, Record, Stage, Task, WorkerInfo
from hpcurate.errors import PipelineError
from hpcurate.infer.form import Form, form_of, validated, validator_of
from hpcurate.infer.returned import outcome
from hpcurate.infer.target import found, module_of, resolved
from hpcurate.task import marked_fields


@attrs.define(kw_only=True)
class InferTask(Task):
    """A request to a class with `infer`."""

    request: dict[str, Any] = attrs.field(factory=dict)
    """What it gives, by name."""


class Infer(Stage[Task, Record]):
    """Calls `infer` of a class for each request, and passes on what it returns: values, and each file that it left.

    A request is an `InferTask`, a row of a table, or any task: then its fields are the request. What `infer` raises
    fails the task with that message.
    """

    version = 1
    deterministic = False

    def __init__(self, target: str, parameters: dict[str, Any] | None = None, output: str = "output_dir") -> None:
        """Find the module; nothing of it is imported before `setup`.

        Args:
            target: class, or function that makes an object of one: module.Class, module:Class or ./file.py:Class.
            parameters: what it is constructed with, by name.
            output: key of the request under which infer is given a folder of this request's own.
        """
        self.infer_target = resolved(target)
        self.infer_output = output
        self.parameters = parameters or {}
        self._model: Any = None
        self._form = Form()
        self._validate: Any = None

    @property
    def source_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """See `Stage`: those of whatever tasks it is given."""
        return marked_fields(self.task_types[0])

    def arguments(self) -> dict[str, Any]:
        """See `Stage`: a file as the module that it is, wherever it is constructed again."""
        return {**super().arguments(), "target": self.infer_target}

    def loads(self) -> tuple[str, ...]:
        """See `Stage`."""
        return (module_of(self.infer_target),)

    def setup(self, worker: WorkerInfo) -> None:
        """Construct it. Raises PipelineError where that has no `infer`."""
        super().setup(worker)
        there = found(self.infer_target)
        self._model = there(**self.parameters) if callable(there) else there
        if not callable(getattr(self._model, "infer", None)):
            raise PipelineError(f"target={self.infer_target}: {type(self._model).__qualname__} has no infer(request)")
        self._form = form_of(self._model.infer)
        self._validate = validator_of(type(self._model)) or validator_of(there)

    def process(self, tasks: list[Task]) -> list[Record]:
        """See `Stage`."""
        return [self._answer(task) for task in tasks]

    def _answer(self, task: Task) -> Record:
        place = self.file(task, "output")
        folder = str(place.path)
        os.mkdir(folder)
        given = self._given(task, folder)
        values, files = outcome(self._model.infer(*given[0], **given[1]), folder)
        if not files:
            _remove_empty(folder)
        made = {name: File(f"{place.ref}/{path}", os.path.join(folder, path)) for name, path in files.items()}
        return Record(id=task.id, parents=task.parents, weight=task.weight, values=values, files=made)

    def _given(self, task: Task, folder: str) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of `infer`. Raises BadRequest."""
        request = request_of(task, self._form)
        if self._validate is not None:
            request = validated(self._validate, request)
        if self._form.takes(self.infer_output):
            request[self.infer_output] = folder
        return self._form.arguments(request)


def request_of(task: Task, form: Form) -> dict[str, Any]:
    """What a task asks for: its request, the columns of its row, or its own fields that `infer` takes."""
    if isinstance(task, InferTask):
        return dict(task.request)
    data = getattr(task, "data", None)
    if isinstance(data, dict):
        return dict(data)
    own = {one.name: getattr(task, one.name) for one in attrs.fields(type(task)) if one.name not in _OF_THE_ENGINE}
    if isinstance(task, Record):
        own = {**task.values, **task.files}
    plain = {name: os.fspath(value) if isinstance(value, File) else value for name, value in own.items()}
    return {name: value for name, value in plain.items() if value is not None and form.takes(name)}


_OF_THE_ENGINE = frozenset(one.name for one in attrs.fields(Task))


def _remove_empty(folder: str) -> None:
    """Folders that were made in it go with it."""
    for above, _, _ in os.walk(folder, topdown=False):
        os.rmdir(above)
