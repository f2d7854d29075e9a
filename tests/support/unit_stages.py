"""Tasks and stages of the unit tests: one behaviour each, as their parameters say."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

from hpcurate import Chain, File, Stage, Task
from hpcurate.spec import InputFile


class Colour(enum.Enum):
    """An enum for a field."""

    RED = "red"
    BLUE = "blue"


@attrs.define(kw_only=True)
class Span:
    """A nested record."""

    start_s: float
    end_s: float = 0.0
    label: str = ""


@attrs.define(kw_only=True)
class Rich(Task):
    """A field of every kind that a row may hold."""

    text: str = ""
    number: int = 0
    score: float = 0.0
    scores: list[float] = attrs.field(factory=list)
    file: File | None = None
    path: pathlib.Path | None = None
    colour: Colour = Colour.RED
    span: Span | None = None
    spans: list[Span] = attrs.field(factory=list)
    pair: tuple[int, str] = (0, "")
    table: dict[str, float] = attrs.field(factory=dict)
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class Richer(Rich):
    """A subclass, which no `Rich` stage may return."""


@attrs.define(kw_only=True)
class HoldsArray(Task):
    """No row can hold this."""

    pixels: np.ndarray | None = None


class NotDefined(Task):
    """Forgot attrs.define."""


@attrs.define(kw_only=True)
class Number(Task):
    """A number, what was done to it, and a file about it."""

    value: int
    story: str = ""
    note: File | None = None


@attrs.define(kw_only=True)
class Marked(Number):
    """A user's own number."""

    mark: str = ""


@attrs.define(kw_only=True)
class Signed(Marked):
    """What another stage adds to that."""

    sign: int = 0


@attrs.define(kw_only=True)
class Named(Number):
    """What a third adds to the number alone."""

    name: str = ""


@attrs.define(kw_only=True)
class Other(Task):
    """Another type than Number."""

    value: int = 0


FATES = ("keep", "drop", "forget", "fail", "split")


class Fated(Stage[Number, Number]):
    """Does to each number what `fates[value % len(fates)]` says, and writes a file about each beforehand."""

    version = 1

    def __init__(self, fates: list[str], mark: str = "x") -> None:
        self.fates, self.mark = fates, mark

    def process(self, tasks: list[Number]) -> list[Number]:
        """Batch order is kept."""
        return [made for task in tasks for made in self._one(task)]

    def _one(self, task: Number) -> list[Number]:
        task.note = self._write(task, task.value)
        fate = self.fates[task.value % len(self.fates)]
        if fate == "fail":
            raise ValueError(f"{task.value} fails")
        if fate == "drop":
            self.drop(task, "dropped here")
        if fate == "split":
            return [self._child(task, n) for n in range(2)]
        task.story += self.mark
        return [task] if fate == "keep" else []

    def _child(self, task: Number, n: int) -> Number:
        child = self.child(task, Number, value=task.value * 2 + n, story=f"{task.story}{self.mark}{n}")
        child.note = self._write(child, child.value)
        return child

    def _write(self, task: Number, value: int) -> File:
        note = self.file(task, f"{self.mark}.txt")
        pathlib.Path(note).write_text(str(value))
        return note


class Prepared(Stage[Number, Number]):
    """Records, for each batch, what had been prepared before it."""

    version = 1

    def __init__(self, seen: list[str] | None = None) -> None:
        self.seen = [] if seen is None else seen

    def prepare(self, task: Number) -> None:
        """Leave a trace."""
        self.seen.append(f"prepared {task.id}")
        task.memory["prepared"] = task.value

    def process(self, tasks: list[Number]) -> list[Number]:
        """Say what `prepare` left."""
        for task in tasks:
            task.story = f"prepared {task.memory['prepared']}"
        return tasks


class Gathers(Stage[Number, Number]):
    """Wants to see every task at once."""

    version = 1
    gather = True

    def process(self, tasks: list[Number]) -> list[Number]:
        """Note how many came together."""
        for task in tasks:
            task.story = f"one of {len(tasks)}"
        return tasks


class Returns(Stage[Number, Number]):
    """Breaks its contract in the way `how` says."""

    version = 1

    def __init__(self, how: str) -> None:
        self.how = how

    def process(self, tasks: list[Number]) -> list[Any]:  # type: ignore[override]
        """One broken promise each."""
        return [made for task in tasks for made in getattr(self, f"_{self.how}")(task)]

    def _stranger(self, task: Number) -> list[Any]:
        return [Number(id="from nowhere", value=1)]

    def _twice(self, task: Number) -> list[Any]:
        return [task, task]

    def _other_type(self, task: Number) -> list[Any]:
        return [Other(id=task.id)]

    def _drop_and_return(self, task: Number) -> list[Any]:
        self.drop(task, "no")
        return [task]

    def _drop_and_child(self, task: Number) -> list[Any]:
        self.drop(task, "no")
        return [self.child(task, Number, value=1)]

    def _random_id(self, task: Number) -> list[Any]:
        import uuid

        return [self.child(task, Number, value=1, id=str(uuid.uuid4()))]

    def _no_id(self, task: Number) -> list[Any]:
        return [task] if task.value == 1 else [self.child(task, Number, value=1, id="")]

    def _heavy(self, task: Number) -> list[Any]:
        task.weight = float("nan")
        return [task]

    def _wrong_field(self, task: Number) -> list[Any]:
        task.value = 1.5  # type: ignore[assignment]
        return [task]

    def _drop_twice(self, task: Number) -> list[Any]:
        self.drop(task, "first")
        self.drop(task, "second")
        return []

    def _outside_file(self, task: Number) -> list[Any]:
        self.file(task, "../escaped.txt")
        return [task]

    def _same_id(self, task: Number) -> list[Any]:
        child = self.child(task, Number, value=task.value, id="always the same")
        child.note = self.file(child, "note.txt")
        pathlib.Path(child.note).write_text(str(task.value))
        return [child]


class Tuned(Stage[Number, Number]):
    """Has parameters of several types."""

    version = 1

    def __init__(
        self,
        threshold: float = 1.0,
        labels: InputFile | None = None,
        sizes: list[float] | None = None,
        mode: Colour = Colour.RED,
    ) -> None:
        self.threshold, self.labels, self.sizes, self.mode = threshold, labels, sizes, mode


class TunedV2(Tuned):
    """The same, of another version."""

    version = 2


class ToOther(Stage[Number, Other]):
    """Changes the type."""

    version = 1


class FromOther(Stage[Other, Other]):
    """Takes what ToOther gives."""

    version = 1


class NoVersion(Stage[Number, Number]):
    """Its identity is its module's syntax tree."""


@attrs.define
class Growing:
    """A source of which only a name counts: other numbers are growth."""

    values: tuple[int, ...]
    task_type = Number

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"source": "growing"}

    def tasks(self) -> Iterator[Number]:
        """See `Source`."""
        return (Number(id=str(value), value=value) for value in self.values)


def numbers(*values: int) -> list[Number]:
    """Tasks named after their value."""
    return [Number(id=f"n{value}", value=value) for value in values]


def chain(*stages: Stage[Any, Any]) -> Chain:
    """A chain of them."""
    return Chain(list(stages))
