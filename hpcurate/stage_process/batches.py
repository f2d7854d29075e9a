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

    def __init__(self, first: int, lines: list[bytes], source: Codec[Any], prepare: Prepare) -> None:
        self.first = first
        """Number of its first row among the shard's."""
        self.lines = lines
        self._source = source
        self._prepare = prepare
        self.tasks = [source.decode(line) for line in lines]
        self._prepared: Optional[list[Future[None]]] = None

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

    def singles(self) -> Iterator[Batch]:
        """Each task alone and fresh: a failed try may have changed them."""
        for number, line in enumerate(self.lines, start=self.first):
            yield Batch(number, [line], self._source, self._prepare)


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
