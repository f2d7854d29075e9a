"""Stages with a bug that can be fixed in the middle of a test. A module of their own: its imports are copied and read."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
from engine_stages import Collect, Digit, Number

from hpcurate import FileTask, Stage, Task


class Fails(Stage[Number, Number]):
    """Fails on what its folder has a file for: a bug that can be fixed in the middle of a test."""

    version = 1
    batch_size = 2

    def __init__(self, bugs: str) -> None:
        self.bugs = bugs

    def process(self, tasks: list[Number]) -> list[Number]:
        """Write a file about each."""
        for task in tasks:
            if os.path.exists(os.path.join(self.bugs, str(task.value))):
                raise ValueError(f"{task.value} is not processed here")
            task.note = self.file(task, "note.txt")
            with open(task.note, "w") as file:
                file.write(f"twice {task.value}\n")
        return tasks


class FailsAtOnce(Collect):
    """A gather that fails as long as there is a file."""

    def process(self, tasks: list[Digit]) -> list[Digit]:
        """As `Collect`."""
        if os.path.exists(f"{self.output}.bug"):
            raise ValueError("it fails")
        return super().process(tasks)


@attrs.define(kw_only=True)
class Text(Task):
    """What a file holds."""

    path: str
    text: str


class Read(Stage[FileTask, Text]):
    """Reads files that are not broken."""

    version = 1

    def process(self, tasks: list[FileTask]) -> list[Text]:
        """One text a file."""
        if any(Path(task.path).read_text() == "broken" for task in tasks):
            raise ValueError("cannot be read")
        return [self.child(task, Text, path=task.path, text=Path(task.path).read_text()) for task in tasks]


class Upper(Stage[Text, Text]):
    """Reads the file once more; fails where a flag says so."""

    version = 1

    def __init__(self, flag: str) -> None:
        self.flag = flag

    def process(self, tasks: list[Text]) -> list[Text]:
        """In capitals, with what the file says now."""
        for task in tasks:
            if Path(self.flag).exists():
                raise ValueError("a bug")
            task.text = task.text.upper() + Path(task.path).read_text()
        return tasks
