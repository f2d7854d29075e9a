"""Stages of the inference tests that need no torch; each notes what it was asked to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy
from engine_stages import Number

from hpcurate import FileTask, Task
from hpcurate.inference import BatchInference


@attrs.define(kw_only=True)
class Squared(Task):
    """A number and its square."""

    value: int
    square: int


def noted(path: str, word: str) -> None:
    """One line of a file, if there is one."""
    if path:
        with open(path, "a") as file:
            file.write(f"{word}\n")


class Square(BatchInference[Number, Squared]):
    """Squares in batches of four. Value 13 cannot be loaded; from 100 on a number is dropped."""

    version = 1
    batch_size = 4
    collate: ClassVar = {"x": "stack", "own": "none"}

    def __init__(self, notes: str = "", short: int = 0) -> None:
        self.notes, self.short = notes, short

    def load(self, task: Number) -> Mapping[str, Any]:
        """Slow, so that it overlaps."""
        noted(self.notes, f"load {task.value}")
        if task.value == 13:
            raise ValueError("13 cannot be loaded")
        time.sleep(0.001)
        return {"x": numpy.asarray([task.value]), "own": f"own {task.value}", "name": task.id}

    def inference(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Leaves `short` results out of batches of more than one."""
        assert {"x", "name"} == batch.keys()
        noted(self.notes, f"inference {len(batch['name'])}")
        squares = batch["x"][:, 0] ** 2
        return {"square": squares[: len(squares) - self.short]}

    def postprocess_each(self, task: Number, result: dict[str, Any]) -> Squared | None:
        """A child; nothing for what is dropped."""
        assert f"own {task.value}" == self.loaded(task)["own"]
        if task.value >= 100:
            self.drop(task, "large")
            return None
        return self.child(task, Squared, value=task.value, square=int(result["square"]))


class Again(BatchInference[Squared, Squared]):
    """Squares squares: as a later member of a chain it loads what it needs itself."""

    version = 1
    collate: ClassVar = {"y": "stack"}

    def load(self, task: Squared) -> Mapping[str, Any]:
        """One number."""
        return {"y": task.square}

    def inference(self, batch: dict[str, Any]) -> Any:
        """A list."""
        return list(batch["y"] ** 2)

    def postprocess(self, tasks: list[Squared], results: list[Any]) -> list[Squared]:
        """All at once."""
        return [attrs.evolve(task, square=int(result)) for task, result in zip(tasks, results)]


class Lengths(BatchInference[FileTask, Squared]):
    """Lengths of files."""

    version = 1
    batch_size = 16
    collate: ClassVar = {"length": "stack"}

    def __init__(self, notes: str) -> None:
        self.notes = notes

    def load(self, task: FileTask) -> Mapping[str, Any]:
        """Reads it."""
        noted(self.notes, f"load {task.source}")
        with open(task.path) as file:
            return {"length": len(file.read())}

    def inference(self, batch: dict[str, Any]) -> Any:
        """An array."""
        noted(self.notes, f"inference {len(batch['length'])}")
        return batch["length"] ** 2

    def postprocess_each(self, task: FileTask, result: Any) -> Squared:
        """A child."""
        return self.child(task, Squared, value=self.loaded(task)["length"], square=int(result))
