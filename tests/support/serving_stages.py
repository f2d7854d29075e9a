"""Stages that do to a request what can be done to one, for the tests of serving. A module of their own: stage processes
import it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import attrs

from hpcurate import File, Source, Stage, Task
from hpcurate.stage import Resources, WorkerInfo

SMALL = Resources(cpus=1, memory="300MB", time="5m")


@attrs.define(kw_only=True)
class Word(Task):
    """A word, and what is to be done with it."""

    word: str
    """That is worked on."""
    do: Literal["shout", "fail", "drop", "die", "hang", "leak", "print", "exit", "flood"] = "shout"
    size: int = 1
    """How often."""
    note: File | None = None
    """It, in a file."""


@attrs.define(frozen=True)
class Words(Source):
    """None, as a served stage reads none."""

    task_type: ClassVar[type[Word]] = Word

    def identity(self) -> dict[str, Any]:
        """None."""
        return {}

    def tasks(self) -> Iterator[Word]:
        """None."""
        return iter(())


class Shout(Stage[Word, Word]):
    """Make a word loud. It says which process did so, and how often that was set up."""

    resources = SMALL
    adjustable = ("mark",)

    def __init__(self, mark: str = "!", base: int = 0) -> None:
        """Set how.

        Args:
            mark: behind each word.
            base: that only its set-up reads.
        """
        self.mark, self.base = mark, base

    def setup(self, worker: WorkerInfo) -> None:
        """It has begun once more; below zero it never has."""
        time.sleep(600 if self.base < 0 else 0)
        self.process_id, self.hoard = f"{os.getpid()}+{self.base}", list[bytes]()

    def process(self, tasks: list[Word]) -> list[Word]:
        """Do what is asked."""
        return [done for task in tasks if (done := self._one(task)) is not None]

    def _one(self, task: Word) -> Word | None:
        if task.do == "fail":
            raise ValueError(f"{task.word} is too much")
        if task.do == "drop":
            self.drop(task, "not wanted", value=task.size, threshold=0, measure="size")
            return None
        if task.do == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task.do == "exit":
            os._exit(3)
        if task.do == "hang":
            time.sleep(600)
        if task.do == "leak":
            self.hoard.append(b"x" * 2**29)  # at once: a time limit would come first where the machine is busy
            time.sleep(600)
        if task.do == "print":
            print(f"hear {task.word}", flush=True)
        if task.do == "flood":
            print("x" * task.size, end="", flush=True)
            task.size = 1
        task.note = self.file(task, "note.txt")
        with open(task.note, "w") as file:
            file.write(f"{task.word.upper() * task.size}{self.mark} by {self.process_id}")
        task.word = task.word.upper() * task.size + self.mark
        return task


class Reverse(Stage[Word, Word]):
    """Turn a word around; it needs no set-up."""

    resources = SMALL

    def __init__(self, sep: str = "") -> None:
        """Set what stands between.

        Args:
            sep: between its letters.
        """
        self.sep = sep

    def process(self, tasks: list[Word]) -> list[Word]:
        """Each."""
        for task in tasks:
            task.word = self.sep.join(reversed(task.word))
        return tasks


class All(Stage[Word, Word]):
    """Waits for all of a run."""

    gather = True

    def process(self, tasks: list[Word]) -> list[Word]:
        """As they are."""
        return tasks
