"""The groups of a shard of a group stage: its rows in the order of their keys, whole groups in a batch. Python 3.9."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate, groupby, islice
from operator import lt
from typing import Any

import msgspec

from hpcurate.errors import StageError
from hpcurate.group import GroupStage, Place, place_of, shown
from hpcurate.spec import find_task
from hpcurate.stage_process.batches import Batch, Decode, Prepare
from hpcurate.stage_process.feed import is_isolated
from hpcurate.stage_process.input import AT_ONCE, blocks_of
from hpcurate.stage_process.keys import keys_of
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.sorter import Row, Sorter
from hpcurate.store.files import Files
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["group_batches"]

ROWS_AT_ONCE = 1000
"""A batch of several groups has about so many rows at most."""


class Inputs:
    """The files of a shard: whose rows are of which class."""

    def __init__(self, job: ShardJob, given: type[Task]) -> None:
        self._first = [0, *accumulate(high - low for _, low, high in job.inputs)]
        kinds = [find_task(name) for name in job.kinds] or [given] * len(job.inputs)
        self.kinds, self._codecs = kinds, [codec(kind, job.root) for kind in kinds]
        self._alike = len(set(kinds)) < 2

    def of_row(self, row: int) -> int:
        """In which of the files it is."""
        return bisect_right(self._first, row) - 1

    def decode(self, rows: Sequence[int], data: bytes, count: int) -> list[Task]:
        """See `Decode`."""
        if self._alike:
            return self._codecs[0].decode_rows(data, count) if count else []
        lines = BytesIO(data).readlines()
        return [self._codecs[self.of_row(row)].decode(line) for row, line in zip(rows, lines)]


def group_batches(
    job: ShardJob, stage: GroupStage[Any, Any], given: type[Task], files: Files, prepare: Prepare
) -> Iterator[Batch]:
    """Whole groups, in order of their keys; in a group, rows are in the order of the shard's input.

    Raises StageError where `key` gives other keys than it gave when the rows were sorted.
    """
    inputs = Inputs(job, given)
    with Sorter() as sorter:
        for rows in _Reader(job, stage, inputs.kinds, files).rows():
            sorter.extend(rows)
        size = 1 if is_isolated(job) else job.batch_size
        waiting = _Waiting(size, inputs.decode, prepare)
        for key, group in groupby(sorter, lambda row: row[0][1]):
            yield from waiting.add(key, group, stage.group_most)
        yield from waiting.end()


class _Reader:
    """Reads the rows of a shard's inputs, with their places."""

    def __init__(self, job: ShardJob, stage: GroupStage[Any, Any], kinds: Sequence[type[Task]], files: Files) -> None:
        self._job, self._stage, self._files = job, stage, files
        self._keys = {kind: keys_of(stage, kind, job.root) for kind in set(kinds)}
        self._kinds = kinds

    def rows(self) -> Iterator[list[Row]]:
        """All rows, some at a time. Raises StageError where they are not in the order in which they were sorted."""
        row = 0
        for number, one in enumerate(self._job.inputs):
            offsets, last = self._job.offsets[number : number + 1], _FIRST
            only = msgspec.structs.replace(self._job, inputs=[one], offsets=offsets)
            for block in blocks_of(only, AT_ONCE, self._files):
                lines = BytesIO(block).readlines()
                places = self._places(self._keys[self._kinds[number]](block, len(lines)).keys, last)
                yield list(zip(places, range(row, row + len(lines)), lines))
                row, last = row + len(lines), places[-1]

    def _places(self, keys: list[Any], last: Place) -> list[Place]:
        raised = next((key for key in keys if isinstance(key, BaseException)), None)
        if raised is not None:
            raise raised
        places = list(map(place_of, keys))
        if places[0] < last or any(map(lt, islice(places, 1, None), places)):
            raise StageError(
                f"{type(self._stage).__qualname__}.key() gives another key than when the tasks were sorted: it may "
                "depend on the task and on the stage's parameters, on nothing else, and not on what setup() does"
            )
        return places


_FIRST: Place = (-1, "")


class _Waiting:
    """Groups that are to be one batch."""

    def __init__(self, size: int, decode: Decode, prepare: Prepare) -> None:
        self._size, self._decode, self._prepare = size, decode, prepare
        self._rows: list[int] = []
        self._lines: list[bytes] = []
        self._keys: list[str] = []
        self._groups = 0

    def add(self, key: str, rows: Iterator[Row], most: int) -> Iterator[Batch]:
        """One more group; the batches that are complete now."""
        kept: list[Row] = []
        for row in rows:
            kept.append(row)
            if len(kept) > most:
                yield from self.end()
                yield from self._refuse(key, kept, rows, most)
                return
        if self._rows and (self._groups == (self._size or -1) or len(self._rows) + len(kept) > ROWS_AT_ONCE):
            yield from self.end()
        self._rows += [number for _, number, _ in kept]
        self._lines += [line for _, _, line in kept]
        self._keys += [key] * len(kept)
        self._groups += 1

    def end(self) -> Iterator[Batch]:
        """What waits."""
        if self._rows:
            rows, data, keys = self._rows, b"".join(self._lines), self._keys
            self._rows, self._lines, self._keys, self._groups = [], [], [], 0  # while it is processed it is there once
            yield Batch(rows, data, self._decode, self._prepare, keys=keys)

    def _refuse(self, key: str, kept: list[Row], rest: Iterator[Row], most: int) -> Iterator[Batch]:
        """A group that is too large, some rows at a time."""
        why = f"the group {shown(key)!r} has more than {most} tasks (group_most)"
        while kept:
            part, kept = kept[:ROWS_AT_ONCE], kept[ROWS_AT_ONCE:]
            numbers, lines = [number for _, number, _ in part], [line for _, _, line in part]
            yield Batch(numbers, b"".join(lines), self._decode, _not, [], keys=[key] * len(part), refused=why)
            if not kept:
                kept = list(islice(rest, ROWS_AT_ONCE))


def _not(tasks: Sequence[Task]) -> list[Any]:
    return []
