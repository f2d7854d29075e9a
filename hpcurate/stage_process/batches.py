"""Batches of a shard's rows: decoded, prepared, taken apart; and what writes the rows that come of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Callable, Optional

from hpcurate.store.rows import Codec
from hpcurate.task import File, Task

Prepare = Callable[[Sequence[Task]], "list[Future[None]]"]


class Writer:
    """Writes rows, and notes the files that they name."""

    def __init__(self, kind: type[Task], root: str) -> None:
        self.root = root
        self.files: list[File] = []
        self.rows = Codec(kind, root, on_file=self.files.append)


class Batch:
    """Rows of one batch, decoded; `begin` sets `prepare` under way."""

    def __init__(
        self,
        first: int,
        lines: list[bytes],
        source: Codec[Any],
        prepare: Prepare,
        tasks: Optional[list[Task]] = None,
        prepared: Optional[list[Future[None]]] = None,
    ) -> None:
        self.first = first
        """Number of its first row among the shard's."""
        self.lines = lines
        self._source = source
        self._prepare = prepare
        self.tasks = [source.decode(line) for line in lines] if tasks is None else tasks
        self._prepared = prepared

    def begin(self) -> list[Future[None]]:
        """Start `prepare` of every task, once."""
        if self._prepared is None:
            self._prepared = self._prepare(self.tasks)
        return self._prepared

    def ready(self) -> list[Task]:
        """The tasks, once prepared. Raises what `prepare` raised."""
        for future in self.begin():
            future.result()
        return self.tasks

    def again(self, size: int) -> Iterator[Batch]:
        """So many tasks at a time, and fresh: a failed try may have changed them, and hold memory through them."""
        self.forget()
        for at in range(0, len(self.lines), size):
            yield Batch(self.first + at, self.lines[at : at + size], self._source, self._prepare)

    def forget(self) -> None:
        """Let go of the tasks, and of what hangs on them; the rows stay."""
        self.tasks, self._prepared = [], None

    def parts(self, size: int) -> Iterator[Batch]:
        """So many tasks at a time, as they are, with what was prepared of them."""
        for at in range(0, len(self.lines), size):
            these = slice(at, at + size)
            prepared = None if self._prepared is None else self._prepared[these]
            lines, tasks = self.lines[these], self.tasks[these]
            yield Batch(self.first + at, lines, self._source, self._prepare, tasks, prepared)


def grouped(rows: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Groups of so many rows, in order; 0: one with all of them."""
    group: list[bytes] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
