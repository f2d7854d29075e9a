"""What is saved with tasks goes with them, whatever object a stage returns for one. Pure. Python 3.9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpcurate.task import Saved, Task, any_saved, put_saved, saved_of


def pass_on(given: Sequence[Task], returned: Sequence[Task], saved: Mapping[str, Mapping[str, Saved]]) -> None:
    """Give each returned task what was saved with the given ones of its id, and what the stage saved under that id.

    A stage may have returned a copy of a task, and a copy has its fields alone. What the object itself has comes last.
    """
    if not (saved or any_saved(given)):
        return
    known: dict[str, dict[str, Saved]] = {}
    for task in given:
        known.setdefault(task.id, {}).update(saved_of(task))
    for task in returned:
        put_saved(task, {**known.get(task.id, {}), **saved.get(task.id, {}), **saved_of(task)})
