"""A stage that takes steps, and keeps the last one as its checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import attrs

from hpcurate import Stage, Task


@attrs.define(kw_only=True)
class Model(Task):
    """What is trained."""

    steps: str = ""
    """Those that were taken in the attempt that ended it."""


class Train(Stage[Model, Model]):
    """Four steps. `stops`: a folder in which a file `<step>` says how to end there, once."""

    version = 1
    checkpoints = True

    def __init__(self, stops: str, last: int = 4) -> None:
        self.stops, self.last = stops, last

    def process(self, tasks: list[Model]) -> list[Model]:
        """From where an earlier attempt has come to."""
        for task in tasks:
            path = Path(self.checkpoint(task), "step")
            first = int(path.read_text()) if path.exists() else 0
            for step in range(first, self.last):
                self._stop(step, path)
                beside = path.with_name("step.new")
                beside.write_text(str(step + 1))
                beside.replace(path)
            task.steps = f"{first}-{self.last}"
        return tasks

    def _stop(self, step: int, path: Path) -> None:
        how = Path(self.stops, str(step))
        if not how.exists():
            return
        what = how.read_text()
        how.unlink()
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "taken":  # by another attempt, while this one is paused
            mine = path.parent.parent
            claim = Path(str(mine.with_suffix(".2")).replace("/checkpoints/", "/claims/"))
            claim.write_text("{}")
            claim.with_name(f"{claim.name}.free").write_text("{}")
            mine.rename(mine.with_suffix(".2"))
        if what == "removed":  # by its own program
            shutil.rmtree(path.parent.parent)
        raise {"interrupted": KeyboardInterrupt, "failed": ValueError}.get(what, ValueError)(f"at step {step}")


class Plain(Stage[Model, Model]):
    """Asks for a checkpoint, and has not said that it keeps any."""

    version = 1

    def process(self, tasks: list[Model]) -> list[Model]:
        """In vain."""
        self.checkpoint(tasks[0])
        return tasks
