"""One enumeration of a source, kept as rows in a temporary file: memory does not grow with the tasks.

Nothing is written to the store before it has ended well.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Set
from typing import IO

import attrs

from hpcurate.errors import ConfigError
from hpcurate.source import Source
from hpcurate.source.base import Placed, hash64
from hpcurate.store.rows import codec
from hpcurate.task import FileTask, Task

EVERY = 1000
"""Tasks between two reports of progress."""


def stamp(task: Task) -> int:
    """What changes when a file was changed: 64 bits of its size and time; 0 for other tasks."""
    return hash64(f"{task.size} {task.mtime_ns}") if isinstance(task, FileTask) else 0


@attrs.define
class Scan:
    """Tasks of a source, in order, as rows."""

    task_type: type[Task]
    count: int
    notes: tuple[str, ...]
    """What the source left out on purpose, as lines to show."""
    left_out: Set[int]
    """`hash64` of ids that are there but count as done: taken in or not, they have not vanished."""
    _rows: IO[bytes]

    def tasks(self) -> Iterator[tuple[bytes, Task]]:
        """Each row with its task. One reader at a time."""
        decode = codec(self.task_type).decode
        self._rows.seek(0)
        for row in self._rows:
            yield row, decode(row)


def scan(source: Source, limit: int | None = None, progress: Callable[[int], None] = lambda count: None) -> Scan:
    """Enumerate the source, or its first `limit` tasks. Raises ConfigError, also for two tasks with one id."""
    rows: IO[bytes] = tempfile.TemporaryFile(prefix="hpcurate-scan-")  # noqa: SIM115 - lives as long as the scan
    encode, seen, count = codec(source.task_type).encode, set(), 0
    for task in itertools.islice(source.tasks(), limit):
        number = hash64(task.id)
        if number in seen:
            raise ConfigError(f"source: two tasks have the id {task.id!a}: {_both(source, task)}; ids are unique")
        if not math.isfinite(task.weight):
            raise ConfigError(f"source: {_name(task)} has the weight {task.weight}; a weight is a finite number")
        seen.add(number)
        rows.write(encode(task) + b"\n")
        count += 1
        if count % EVERY == 0:
            progress(count)
    progress(count)
    notes, left_out = tuple(getattr(source, "notes", list)()), frozenset(getattr(source, "left_out", ()))
    return Scan(source.task_type, count, notes, left_out, rows)


def _both(source: Source, second: Task) -> str:
    """Where the two tasks with one id stand: enumerated once more, so that a scan need not remember it."""
    while hasattr(source, "source"):  # a part of another
        source = source.source
    placed: Callable[[], Iterator[Placed]] | None = getattr(source, "placed", None)
    found = placed() if placed else ((f"item {n} ({_name(task)})", task) for n, task in enumerate(source.tasks(), 1))
    return " and ".join(itertools.islice((where for where, task in found if task.id == second.id), 2))


def _name(task: Task) -> str:
    return ascii(getattr(task, "source", task.id))
