"""A stage that is set up, with the classes of the tasks that it takes and gives. Python 3.9."""

from __future__ import annotations

from typing import Any, Optional

from hpcurate.stage import Stage, members, task_types
from hpcurate.stage_process.ahead import Measured
from hpcurate.stage_process.batches import Writer
from hpcurate.store.files import Files
from hpcurate.system.memory import MemoryGroup


class SetUpStage:
    """A stage that is set up, and what its attempts learn for those after them."""

    def __init__(self, stage: Stage[Any, Any], name: Optional[str], files: Files) -> None:
        self.members, self.files = members(stage), files
        names = stage.member_names()
        self.names = [name or names[0]] if len(self.members) == 1 else [f"{name}/{n}" if name else n for n in names]
        self.types = [member.task_types for member in self.members]
        self.measured, self.memory = Measured(), MemoryGroup.here()
        self.fits = 0
        """Tasks at once for which the GPU's memory was enough, once it was not; 0: whatever is asked for."""
        self._writer: Optional[Writer] = None

    def writer(self, root: str) -> Writer:
        """Of the stage's rows; made once, as that takes a while."""
        if self._writer is None or self._writer.root != root:
            self._writer = Writer(self.types[-1][1], root)
        return self._writer


def wrong_type(cls: type[Stage[Any, Any]], types: tuple[type, type], returned: type) -> str:
    """What is wrong with a task of another class than the stage gives here, and the remedy. Pure."""
    declared, given = task_types(cls)[1], types[1]
    if given is declared:
        return f"declares {declared.__qualname__} and returned a {returned.__qualname__}"
    return (
        f"returned a {returned.__qualname__} and was given a {given.__qualname__}: change the tasks that came in, make "
        f"new ones as self.child(task, type(task), …), or declare that it gives something else than it takes"
    )
