"""Stages that save values of every kind with their tasks, and load them again; a saver of a user's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs

from hpcurate import GroupStage, Stage, Task
from hpcurate.savers import Checkpoint, Saver


@attrs.define(kw_only=True)
class Item(Task):
    """Something to work on."""

    number: int = 0


@attrs.define
class Settings:
    """A record."""

    name: str
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass
class Pair:
    """A record of another kind."""

    left: float
    right: Settings


class Celsius(float):
    """What no saver of ours takes."""


class CelsiusSaver(Saver):
    """One of a user's own."""

    suffix = ".celsius"

    def takes(self, value: Any) -> bool:
        """Temperatures."""
        return isinstance(value, Celsius)

    def write(self, value: Any, path: str) -> dict[str, Any]:
        """As text."""
        with open(path, "w") as file:
            file.write(repr(float(value)))
        return {"degrees": float(value)}

    def read(self, path: str, facts: Any) -> Any:
        """The same."""
        with open(path) as file:
            return Celsius(file.read())


def values() -> dict[str, Any]:
    """One of each kind that is chosen by its type, by the name of its saver; always the same."""
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from saver_nets import Net

    torch.manual_seed(0)
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 2, 3])
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "<b>hello</b>"}
    return {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "table": pd.DataFrame({"name": ["a", "<b>"], "n": [1, 2]}, index=[5, 7]),
        "checkpoint": Checkpoint(Net(3), {"width": 3}),
        "torch": {"step": 7, "state": [torch.ones(2)]},
        "figure": figure,
        "notebook": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]},
        "json": {"loss": [0.5, None], "nested": {"größe": True}},
        "text": "one\r\ntwo ü \udcff",
    }


class SaveAll(Stage[Item, Item]):
    """Every kind of value with every task."""

    version = 1
    batch_size = 2

    def process(self, tasks: list[Item]) -> list[Item]:
        """The tasks as copies: what is saved goes by their ids."""
        for task in tasks:
            for name, value in values().items():
                self.save(task, name, value)
            self.save(task, "record", Pair(0.5, Settings("s", (1, 2))))
            self.save(task, "own", Celsius(21.5), saver=CelsiusSaver())
        return [attrs.evolve(task, number=task.number + 1) for task in tasks]


class SaveSome(Stage[Item, Item]):
    """An array with every task."""

    version = 1

    def process(self, tasks: list[Item]) -> list[Item]:
        """Of its number."""
        import numpy as np

        for task in tasks:
            self.save(task, "array", np.arange(task.number))
            self.save(task, "note", f"{task.number} numbers")
        return tasks


class SaveNamed(Stage[Item, Item]):
    """Its number with every task, by one name."""

    version = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def process(self, tasks: list[Item]) -> list[Item]:
        """As plain data."""
        for task in tasks:
            self.save(task, self.name, [self.name, task.number])
        return tasks


class SaveOfGroup(GroupStage[Item, Item]):
    """How many tasks are even, or odd, with each of them."""

    version = 1

    @staticmethod
    def key(task: Item) -> str:
        """Even or odd."""
        return str(task.number % 2)

    def process_group(self, key: str, tasks: list[Item]) -> list[Item]:
        """What its branches saved is there."""
        for task in tasks:
            assert [["x", task.number], ["y", task.number]] == [self.load(task, name) for name in "xy"]
            self.save(task, "group", len(tasks))
        return tasks


class PassOn(Stage[Item, Item]):
    """Nothing of its own."""

    version = 1

    def process(self, tasks: list[Item]) -> list[Item]:
        """As copies."""
        return [attrs.evolve(task) for task in tasks]


class LoadSome(Stage[Item, Item]):
    """Adds up what an earlier stage saved, in `prepare` and in `process`."""

    version = 1

    def prepare(self, task: Item) -> None:
        """Ahead, maybe in another process."""
        task.memory["sum"] = int(self.load(task, "array").sum())

    def process(self, tasks: list[Item]) -> list[Item]:
        """A task that is made of another has what is saved with it."""
        made = []
        for task in tasks:
            child = self.child(task, Item, number=task.memory["sum"] + len(self.load(task, "note")))
            self.save(child, "numbers", task.saved["array"])
            made.append(child)
        return made
