"""Stages of NAME. A stage turns a list of tasks into a list of tasks; heavy data stay in files."""

from __future__ import annotations

from pathlib import Path

import attrs

from hpcurate import FileTask, Resources, Stage, Task


@attrs.define(kw_only=True)
class CountedTask(Task):
    """A text file and how many words it has."""

    source: str
    words: int


class CountWords(Stage[FileTask, CountedTask]):
    """Count the words of each file; drop what has too few."""

    resources = Resources(cpus=1, memory="500MB", time="10m")
    # No `version`: when this code, or code of yours that it imports, is edited, the stage runs again.
    # With `version = 1` what is committed stays until you raise it.

    def __init__(self, min_words: int = 1) -> None:
        self.min_words = min_words

    def process(self, tasks: list[FileTask]) -> list[CountedTask]:
        """One new task a file, a child of the file's."""
        counted = []
        for task in tasks:
            words = len(Path(task.path).read_text().split())
            if words < self.min_words:
                self.drop(task, "too short")
            else:
                counted.append(self.child(task, CountedTask, source=task.source, words=words))
        return counted
