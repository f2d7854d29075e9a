"""A run as a Python object: where it stands, what became of its tasks, and how it looks in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from hpcurate.errors import PipelineError
from hpcurate.failures import DeadLetter
from hpcurate.members import declared_input, resolved_types
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.dead_letters import dead_letters
from hpcurate.report.notebook import page
from hpcurate.report.results import results_of
from hpcurate.report.rows import DROPPED, Plain, lines_of, loaded
from hpcurate.report.run_view import RunView
from hpcurate.report.trace import Trace, trace
from hpcurate.runs.outcome import Outcome
from hpcurate.savers.base import Saver
from hpcurate.savers.reading import load_of
from hpcurate.spec import find_task, from_spec
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["OpenRun"]


@attrs.define(frozen=True, repr=False)
class OpenRun(Outcome):
    """A run as it was when it was opened, or when `hpcurate.run` returned; its tasks are those of now.

    In a notebook it shows itself. What iterates reads shard by shard, so that a large run needs no memory.
    """

    def status(self) -> OpenRun:
        """The same run as it is now."""
        return OpenRun(self.run, self._view().look())

    def tasks(self, stage: str) -> Iterator[Task]:
        """What a stage has passed on, in this run and by now, as the tasks that it made; `input`: what was taken in.

        Their files open as in a stage. Raises ConfigError for an unknown stage, PipelineError where its class cannot be
        imported here.
        """
        view = self._view()
        results = results_of(view, stage)
        read = codec(_class_of(view.planned, stage), results.stages).decode
        return (read(line) for line in results.lines())

    def results(self, stage: str) -> Iterator[Plain]:
        """The same as plain values, without the code of any stage: files are absolute paths."""
        return results_of(self._view(), stage).rows()

    def load(self, task: Task | Plain, name: str, *, saver: str | Saver | None = None) -> Any:
        """What a stage has saved with a task under that name: a task of `tasks`, or a row of `results`.

        Raises SavedError.
        """
        return load_of(task, name, saver)

    def dropped(self, stage: str | None = None) -> Iterator[Plain]:
        """What a stage, or all, ended on purpose: `id`, `stage` (and member of its chain), `reason`, `task`."""
        view = self._view()
        self._check(view, stage)
        return (loaded(line) for shard in view.shards(stage) for line in lines_of(shard, DROPPED))

    def dead_letters(self, stage: str | None = None) -> Iterator[DeadLetter]:
        """What failed for good in a stage, or in all, and is not tried again."""
        view = self._view()
        self._check(view, stage)
        return (found.letter for found in dead_letters(view, stage))

    def trace(self, item: str) -> Trace:
        """What became of an item: see `hpcurate trace`."""
        return trace(self._view(), item)

    def _view(self) -> RunView:
        return RunView(self.run)

    def _check(self, view: RunView, stage: str | None) -> None:
        if stage is not None:
            view.frozen.pipeline.stage(stage)

    def __repr__(self) -> str:
        return f"<run {self.run.name}: {self.state.value}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return page(self._view(), self.report)


def _class_of(planned: tuple[PlannedStage, ...], stage: str) -> type[Task]:
    """The class of the tasks that a stage passes on; of those that the first stage is given, for the input."""
    one = next((one for one in planned if one.name == stage), None)
    reader = one or next(one for one in planned if not one.after)
    try:
        made = from_spec(reader.spec)
        given = find_task(reader.takes) if reader.takes else declared_input(made)
    except PipelineError as error:
        raise PipelineError(f"stages.{reader.name}: {error}; .results({stage!r}) needs no class") from error
    return given if one is None else resolved_types(made, given)[-1][1]
