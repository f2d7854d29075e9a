"""Tasks given outright, and the one task of a pipeline that has no input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs

from hpcurate.digest import digest
from hpcurate.errors import ConfigError, RecordError
from hpcurate.fields import NEEDED, option
from hpcurate.store.rows import codec
from hpcurate.task import Task


@attrs.define(frozen=True)
class Items:
    """Tasks given outright: from Python, or a few from the config."""

    items: tuple[Task, ...] = option(NEEDED, "the tasks, all of one class", converter=tuple)

    def __attrs_post_init__(self) -> None:
        if not self.items:
            raise ConfigError("source: there are no tasks; give at least one")
        kinds = {type(item) for item in self.items}
        if len(kinds) > 1 or not issubclass(next(iter(kinds)), Task):
            raise ConfigError(f"source: all tasks are of one Task class, got {sorted(k.__name__ for k in kinds)}")

        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise ConfigError(f"source: two tasks have the id {item.id!r}; ids are unique")
            if not math.isfinite(item.weight):
                raise ConfigError(f"source: task {item.id!r} has the weight {item.weight}; a weight is a finite number")
            seen.add(item.id)

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return type(self.items[0])

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        try:
            rows = [row.decode("utf-8", "surrogateescape") for row in codec(self.task_type).encode_lines(self.items)]
        except RecordError as error:
            raise ConfigError(f"source: {error}") from None
        return {"items": digest(rows)}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return iter(self.items)


@attrs.define(frozen=True)
class Once:
    """One task without content: for pipelines whose steps get all they need from parameters."""

    name: str = option("run", "id of the task")

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return Task

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"once": self.name}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        yield Task(id=self.name)
