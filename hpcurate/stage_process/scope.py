"""What a stage may use while one batch is processed: children, drops, files, results of its own."""

from __future__ import annotations

import contextlib
import operator
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import attrs

from hpcurate.errors import SavedError, StageError
from hpcurate.stage_process.amounts import numbers, plain
from hpcurate.stage_process.files import AttemptFiles
from hpcurate.stage_process.lineage import Drop, Omission
from hpcurate.stage_process.logged import Entry, entry_of
from hpcurate.stage_process.store_errors import said_of_store, store_failed
from hpcurate.store.access import make_folder
from hpcurate.store.files import files_folder
from hpcurate.task import File, Saved, Task, put_saved, saved_of, stable_id

if TYPE_CHECKING:
    from hpcurate.savers.base import Saver

LONGEST_REASON = 300
"""Characters of a reason that are kept: it is counted, and stands in every report."""


class BatchScope:
    """Gives one stage the means to make children, drop tasks and write files, for one batch."""

    def __init__(self, stage: str, files: AttemptFiles, checkpoints: str = "", brief_drops: bool = False) -> None:
        """`checkpoints`: the folder of those of the shard's tasks; empty where the stage keeps none."""
        self.stage, self._checkpoints, self._brief = stage, checkpoints, brief_drops
        self._files = files
        self.drops: list[Drop] = []
        self.logged: list[Entry] = []
        self.omissions: list[Omission] = []
        self.owners: set[str] = set()
        """Ids of the tasks that files were written for."""
        self.saved: dict[str, dict[str, Saved]] = {}
        """Id of a task → what was saved with it, by name."""
        self._ordinals: dict[tuple[str, ...], int] = {}
        self.group: Optional[str] = None
        self.keys: Mapping[int, str] = {}

    def child_id(self, parents: Sequence[Task], wanted: Optional[str]) -> str:
        """See `Scope`."""
        ids = tuple(parent.id for parent in parents) if self.group is None else (self.group,)
        ordinal = self._ordinals[ids] = self._ordinals.get(ids, -1) + 1
        if wanted is None:
            return stable_id(*ids, self.stage, ordinal)
        if not wanted:
            raise StageError(f"{self.stage}: an id has a character or more; leave id= out if the data have no better")
        if _is_random(wanted):
            raise StageError(f"{self.stage}: id {wanted!r} is random; derive ids from the data, or leave them out")
        return wanted

    def drop(self, task: Task, reason: str, value: object, threshold: object, measure: str) -> None:
        """See `Scope`."""
        told = {"value": plain(value), "threshold": plain(threshold), "measure": str(measure)}
        reason = str(reason)[:LONGEST_REASON]
        self.drops.append(Drop(task, reason, self.stage, brief=self._brief, **told))  # type: ignore[arg-type]

    def left_out(self, task: Task, reason: str, count: int, amounts: Mapping[str, float]) -> None:
        """See `Scope`. Raises StageError for what cannot be added up."""
        try:
            found = numbers(amounts)
            many = range(operator.index(count))
        except (TypeError, ValueError, OverflowError) as error:
            raise StageError(f"{self.stage}: left_out(…): {error}") from None
        self.omissions.append(Omission(task, str(reason)[:LONGEST_REASON], self.stage, len(many), found))

    def file(self, task: Task, name: str) -> File:
        """See `Scope`."""
        file = self._files.place(self.stage, task, name)
        self.owners.add(task.id)
        return file

    def save(self, task: Task, name: str, value: Any, saver: Union[str, Saver, None]) -> Saved:
        """See `Stage.save`."""
        try:
            saved = self._save(task, name, value, saver)
        except SavedError as error:
            raise SavedError(f"{self.stage}: save({name!r:.120}): {error}") from error
        put_saved(task, {name: saved})
        self.saved.setdefault(task.id, {})[name] = saved
        return saved

    def _save(self, task: Task, name: str, value: Any, named: Union[str, Saver, None]) -> Saved:
        from hpcurate.savers.choice import chosen  # here: few stages save anything
        from hpcurate.savers.writing import check_name, write

        check_name(name)
        if name in saved_of(task) or name in self.saved.get(task.id, ()):
            raise SavedError(f"task {task.id!r} has something of that name; choose another")
        if any(field.name == "saved" for field in attrs.fields(type(task))):
            raise SavedError(f"{type(task).__qualname__} has a field `saved` of its own; rename that")
        if isinstance(value, Saved):
            return value
        whose, saver = {"stage": self.stage, "task": task.id}, chosen(value, named)
        try:
            return write(name, value, saver, lambda place: self.file(task, place), whose)
        except Exception as error:
            answer = said_of_store(error)
            if answer is None:
                raise
            what = f"saving {name!r} of task {task.id!r} below"
            raise store_failed(what, self._files.directory, answer) from error

    def checkpoint(self, task: Task) -> str:
        """See `Stage.checkpoint`. The folder of the shard is never made here: without it another attempt goes on."""
        if not self._checkpoints:
            raise StageError(f"{self.stage}: keeps no checkpoints; write `checkpoints = True` into the class")
        path = f"{self._checkpoints}/{files_folder(task.id)}"
        with contextlib.suppress(FileExistsError):
            make_folder(path)
        return path

    def log(self, name: str, value: Any, step: Optional[int]) -> None:
        """See `Stage.log`."""
        self.logged.append(entry_of(self.stage, name, value, step))


def _is_random(task_id: str) -> bool:
    try:
        return uuid.UUID(task_id).version in (1, 4, 7)
    except ValueError:
        return False
