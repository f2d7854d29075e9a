"""Batches of a shard's rows: decoded, prepared, taken apart; and what writes the rows that come of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import cached_property
from io import BytesIO
from typing import Any, Callable, Optional, TypeVar

import msgspec

from hpcurate.group import shown
from hpcurate.stage_process.raised import RAISED
from hpcurate.store.rows import Codec
from hpcurate.task import File, Task, put_saved, saved_of


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


Found = TypeVar("Found")
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


Decode = Callable[[Sequence[int], bytes, int], "list[Task]"]
"""(numbers of rows, the rows themselves, how many) → their tasks."""


class Batch:
    """Rows of one batch, decoded; `begin` sets `prepare` under way.

    It consists of units, which are tried, and fail, as one: rows, or groups where it has `keys`.
    """

    def __init__(
        self,
        rows: Sequence[int],
        data: bytes,
        decode: Decode,
        prepare: Prepare,
        tasks: Optional[list[Task]] = None,
        futures: Optional[list[Future[Prepared]]] = None,
        keys: Optional[Sequence[str]] = None,
        refused: str = "",
    ) -> None:
        """`keys`: of each row, where units are groups; those of one group stand side by side.

        `refused`: why all of it is dead letters, untried.
        """
        self.rows = rows
        """Numbers of its rows among the shard's."""
        self._data = data
        """The rows themselves."""
        self._decode = decode
        self._prepare = prepare
        self.tasks: list[Task] = decode(rows, data, len(rows)) if tasks is None else tasks
        self._futures = futures
        self._keys = keys
        self.refused = refused

    @cached_property
    def lines(self) -> list[bytes]:
        """Its rows, as they were read, each with its end."""
        return BytesIO(self._data).readlines()

    @cached_property
    def units(self) -> list[range]:
        """Places of the rows of each."""
        if self._keys is None:
            return [range(place, place + 1) for place in range(len(self.rows))]
        stops = [n for n in range(1, len(self._keys)) if self._keys[n] != self._keys[n - 1]]
        return [range(*pair) for pair in zip([0, *stops], [*stops, len(self._keys)])] if self._keys else []

    @property
    def names(self) -> list[str]:
        """Of each unit: the id of its task, or the key of its group, as messages can hold it."""
        if self._keys is None:
            return [task.id for task in self.tasks]
        return [shown(key) for key in dict.fromkeys(self._keys)]

    @property
    def keys(self) -> dict[int, str]:
        """`id` of a task object → the key of its group; empty where units are no groups."""
        return dict(zip(map(id, self.tasks), self._keys or ()))

    @property
    def groups(self) -> int:
        """How many units are groups."""
        return 0 if self._keys is None else len(self.units)

    def __len__(self) -> int:
        """How many units it has."""
        return len(self.rows) if self._keys is None else len(self.units)

    def spread(self, found: Mapping[int, Found]) -> Mapping[int, Found]:
        """What is known of some rows, as that of all rows of their units: the first of each counts."""
        if self._keys is None or not found:
            return found
        spread: dict[int, Found] = {}
        for unit in self.units:
            rows = [self.rows[place] for place in unit]
            first = next((row for row in rows if row in found), None)
            if first is not None:
                spread.update(dict.fromkeys(rows, found[first]))
        return spread

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
        put_saved(prepared.task, saved_of(self.tasks[place]))  # of another process it has its fields alone
        self.tasks[place] = prepared.task
        prepared.task.memory.update(prepared.memory)
        return prepared

    def without(self, rows: Collection[int]) -> Batch:
        """The others as one batch, with what was prepared of them."""
        return self._of([place for place, row in enumerate(self.rows) if row not in rows]) if rows else self

    def parts(self, size: int) -> Iterator[Batch]:
        """So many units at a time, as they are, with what was prepared of them."""
        for places in self._places(size):
            yield self._of(places)

    def _of(self, places: Sequence[int]) -> Batch:
        futures = [self._futures[n] for n in places] if self._futures else self._futures
        return self._made(places, [self.tasks[n] for n in places], futures)

    def again(self, size: int) -> Iterator[Batch]:
        """So many units at a time, and fresh: a failed try may have changed them, and hold memory through them."""
        self.forget()
        for places in self._places(size):
            yield self._made(places)

    def fresh(self, rows: Collection[int]) -> Batch:
        """These of its rows, decoded again."""
        return self._made([place for place, row in enumerate(self.rows) if row in rows])

    def _places(self, size: int) -> Iterator[Sequence[int]]:
        """Of the rows of so many units at a time."""
        for at in range(0, len(self), size):
            units = self.units[at : at + size]
            yield range(units[0].start, units[-1].stop)

    def _made(
        self,
        places: Sequence[int],
        tasks: Optional[list[Task]] = None,
        futures: Optional[list[Future[Prepared]]] = None,
    ) -> Batch:
        rows, data = [self.rows[n] for n in places], b"".join([self.lines[n] for n in places])
        keys = None if self._keys is None else [self._keys[n] for n in places]
        return Batch(rows, data, self._decode, self._prepare, tasks, futures, keys)

    def decoded(self, row: int, line: bytes) -> Task:
        """One of its rows, once more."""
        return self._decode([row], line, 1)[0]

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
