"""Batches of a shard's rows: decoded, prepared, taken apart; and what writes the rows that come of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import cached_property
from io import BytesIO
from typing import Any, Callable, Optional

import msgspec

from hpcurate.stage_process.raised import RAISED
from hpcurate.store.rows import Codec
from hpcurate.task import File, Task


class Prepared(msgspec.Struct, frozen=True):
    """A task after `prepare`, and when that ran, on this machine's monotonic clock."""

    task: Task
    began: float
    ended: float
    memory: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """What `prepare` left in the task's, where that was another process's."""
    raised: Optional[BaseException] = None
    """There."""


class PrepareDied(Exception):
    """A process in which `prepare` ran has ended: it was killed, or left."""


Prepare = Callable[[Sequence[Task]], "list[Future[Prepared]]"]


class Writer:
    """Writes rows, and notes the files that they name."""

    def __init__(self, kind: type[Task], root: str) -> None:
        self.root = root
        self._named: dict[str, Task] = {}
        self._rows = Codec(kind, root, on_file=self._note)

    def rows_of(self, tasks: Sequence[Task]) -> tuple[bytes, dict[str, Task]]:
        """The rows, each with its end, and of each file that one names the first task whose row does.

        Raises RecordError.
        """
        named = self._named = {}
        return self._rows.encode_block(tasks), named

    def _note(self, file: File, task: Task) -> None:
        self._named.setdefault(file.ref, task)


class Batch:
    """Rows of one batch, decoded; `begin` sets `prepare` under way."""

    def __init__(
        self,
        rows: Sequence[int],
        data: bytes,
        source: Codec[Any],
        prepare: Prepare,
        tasks: Optional[list[Task]] = None,
        futures: Optional[list[Future[Prepared]]] = None,
    ) -> None:
        self.rows = rows
        """Numbers of its rows among the shard's."""
        self._data = data
        """The rows themselves."""
        self._source = source
        self._prepare = prepare
        self.tasks: list[Task] = source.decode_rows(data, len(rows)) if tasks is None else tasks
        self._futures = futures

    @cached_property
    def lines(self) -> list[bytes]:
        """Its rows, as they were read, each with its end."""
        return BytesIO(self._data).readlines()

    def begin(self) -> list[Future[Prepared]]:
        """Start `prepare` of every task, once."""
        if self._futures is None:
            self._futures = self._prepare(self.tasks)
        return self._futures

    def wait(self) -> tuple[dict[int, BaseException], Optional[float]]:
        """Wait for `prepare` of every task: (row → what it raised, the seconds it took them all together, if any).

        Raises PrepareDied.
        """
        failed: dict[int, BaseException] = {}
        done: list[Prepared] = []
        for place, future in enumerate(self.begin()):
            try:
                done.append(self._took(place, future.result()))
            except BrokenExecutor as error:
                raise PrepareDied(f"a process in which `prepare` ran has died: {error}") from error
            except RAISED as error:
                failed[self.rows[place]] = error
        return failed, max(p.ended for p in done) - min(p.began for p in done) if done else None

    def _took(self, place: int, prepared: Prepared) -> Prepared:
        if prepared.raised is not None:
            raise prepared.raised
        self.tasks[place] = prepared.task
        prepared.task.memory.update(prepared.memory)
        return prepared

    def without(self, rows: Collection[int]) -> Batch:
        """The others as one batch, with what was prepared of them."""
        return self._of([place for place, row in enumerate(self.rows) if row not in rows]) if rows else self

    def parts(self, size: int) -> Iterator[Batch]:
        """So many tasks at a time, as they are, with what was prepared of them."""
        for at in range(0, len(self.rows), size):
            yield self._of(range(len(self.rows))[at : at + size])

    def _of(self, places: Sequence[int]) -> Batch:
        futures = [self._futures[n] for n in places] if self._futures else self._futures
        rows, tasks = [self.rows[n] for n in places], [self.tasks[n] for n in places]
        return Batch(rows, self._joined(places), self._source, self._prepare, tasks, futures)

    def _joined(self, places: Sequence[int]) -> bytes:
        return b"".join([self.lines[n] for n in places])

    def again(self, size: int) -> Iterator[Batch]:
        """So many tasks at a time, and fresh: a failed try may have changed them, and hold memory through them."""
        self.forget()
        for at in range(0, len(self.rows), size):
            these = range(len(self.rows))[at : at + size]
            yield Batch(self.rows[at : at + size], self._joined(these), self._source, self._prepare)

    def fresh(self, rows: Collection[int]) -> Batch:
        """These of its rows, decoded again."""
        places = [place for place, row in enumerate(self.rows) if row in rows]
        return Batch([self.rows[n] for n in places], self._joined(places), self._source, self._prepare)

    def put(self, part: Batch) -> None:
        """Take the tasks of some of its rows from another batch, with what was prepared of them."""
        futures = self.begin()
        for row, task, future in zip(part.rows, part.tasks, part.begin()):
            place = self.rows.index(row)
            self.tasks[place], futures[place] = task, future

    def forget(self) -> None:
        """Let go of the tasks, and of what hangs on them; the rows stay."""
        self.tasks, self._futures = [], None

    def cancel(self) -> None:
        """What has not begun of `prepare` never will."""
        for future in self._futures or ():
            future.cancel()
