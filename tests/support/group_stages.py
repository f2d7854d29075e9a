"""Stages that get whole groups, for the tests of group-by and join. A module of their own: workers import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from hpcurate import GroupStage, Source, Stage, Task


@attrs.define(kw_only=True)
class Labelled(Task):
    """A number that belongs to something."""

    label: str
    value: int = 0


@attrs.define(kw_only=True)
class Noted(Task):
    """A task of another class."""

    of: str


@attrs.define(kw_only=True)
class Sum(Task):
    """What is known of a group."""

    key: str
    values: list[int]
    notes: list[str] = attrs.field(factory=list)


@attrs.define(kw_only=True)
class Loose(Task):
    """Its label may be anything that a row holds."""

    label: Any
    value: int = 0
    score: float = 0.0


class Labels(Source):
    """So many tasks with so many labels, spread over them; a larger one begins with those of a smaller one."""

    task_type = Labelled

    def __init__(self, count: int, labels: int, extra: str = "") -> None:
        self.count, self.labels, self.extra = count, labels, extra

    def identity(self) -> dict[str, Any]:
        """The same, however many there are: input that grows."""
        return {"labels": self.labels}

    def tasks(self) -> Iterator[Labelled]:
        """`extra`: label of one task more."""
        for n in range(self.count):
            yield Labelled(id=f"n{n:05d}", label=f"k{n * 7919 % self.labels}", value=n)
        if self.extra:
            yield Labelled(id="extra", label=self.extra, value=-1)


class Pass(Stage[Task, Task]):
    """All of them, as they are."""

    version = 1

    def process(self, tasks: list[Task]) -> list[Task]:
        """As they came."""
        return tasks


class Note(Stage[Labelled, Noted]):
    """A task of another class for each, but for every third; one more that nobody has."""

    version = 1

    def process(self, tasks: list[Labelled]) -> list[Noted]:
        """In order."""
        found = [self.child(task, Noted, id=f"note-{task.id}", of=task.label) for task in tasks if task.value % 3]
        return found + [self.child(task, Noted, id="alone", of="alone") for task in tasks if task.value == 0]


class Add(GroupStage[Labelled, Sum]):
    """What each group consists of, in order. Fails on labels that its folder has a file for."""

    version = 1
    group_by = "label"

    def __init__(self, bugs: str = "/nowhere") -> None:
        self.bugs = bugs

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Sum]:
        """One for each group."""
        if os.path.exists(os.path.join(self.bugs, key)):
            raise ValueError(f"{key} is not processed here")
        return [self.child(tasks, Sum, key=key, values=[task.value for task in tasks])]


class AddLoose(GroupStage[Loose, Sum]):
    """The same of tasks whose label may be no text."""

    version = 1
    group_by = "label"

    def process_group(self, key: str, tasks: list[Loose]) -> list[Sum]:
        """One for each group."""
        return [self.child(tasks, Sum, key=key, values=[task.value for task in tasks])]


class FirstOfEach(GroupStage[Labelled, Labelled]):
    """The first of each group; the others are dropped."""

    version = 1
    group_by = "label"

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Labelled]:
        """As a filter."""
        for task in tasks[1:]:
            self.drop(task, "duplicate", value=tasks[0].id)
        return tasks[:1]


class ById(GroupStage[Labelled, Labelled]):
    """Groups of one, where ids differ."""

    version = 1

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Labelled]:
        """As they are."""
        return tasks


class Meet(GroupStage[Labelled | Noted, Sum]):
    """Joins tasks of two classes."""

    version = 1

    def key(self, task: Labelled | Noted) -> str:
        """Of a label."""
        return task.label if isinstance(task, Labelled) else task.of

    def process_group(self, key: str, tasks: list[Labelled | Noted]) -> list[Sum]:
        """One for each group, also of what only one of them has."""
        values = [task.value for task in tasks if isinstance(task, Labelled)]
        return [self.child(tasks, Sum, key=key, values=values, notes=[t.id for t in tasks if isinstance(t, Noted)])]


class Fragile(Add):
    """Ends its process at a label that begins so, unless a file says that it is fixed."""

    batch_size = 4

    def __init__(self, label: str, fixed: str = "/nowhere") -> None:
        super().__init__()
        self.label, self.fixed = label, fixed

    def process_group(self, key: str, tasks: list[Labelled]) -> list[Sum]:
        """As `Add`."""
        if key.startswith(self.label) and not Path(self.fixed).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().process_group(key, tasks)


class KeyRaises(Add):
    """Its key raises for every tenth task, unless a file says that it is fixed."""

    def __init__(self, fixed: str) -> None:
        super().__init__()
        self.fixed = fixed

    def key(self, task: Labelled) -> str:
        """Its label."""
        if task.value % 10 == 0 and not Path(self.fixed).exists():
            raise LookupError(f"{task.value} has no key")
        return task.label
