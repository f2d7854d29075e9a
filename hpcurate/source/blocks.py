"""Tasks in blocks, as a scan takes them: those of any source, encoded together."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator, Sequence

from hpcurate.errors import ConfigError
from hpcurate.source.base import Block, Source, hash64
from hpcurate.source.spool import seen_of, shows_more_than_its_row, spooled
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["block_of", "blocks", "in_blocks"]

BLOCK = 1000
"""Tasks in one block of a source that yields them one by one."""


def blocks(source: Source, limit: int | None) -> Iterator[Block]:
    """All tasks of a source, or its first `limit`. Raises ConfigError and RecordError."""
    own = getattr(source, "blocks", None)
    if own is not None and limit is None:
        yield from own()
    else:
        yield from in_blocks(source.task_type, itertools.islice(source.tasks(), limit))


def in_blocks(task_type: type[Task], tasks: Iterator[Task]) -> Iterator[Block]:
    """These tasks. Raises as `block_of`."""
    while block := list(itertools.islice(tasks, BLOCK)):
        yield block_of(task_type, block)


def block_of(task_type: type[Task], tasks: Sequence[Task]) -> Block:
    """These tasks. Raises ConfigError for a weight that is no number, RecordError for what no row can hold."""
    for task in tasks:
        if not math.isfinite(task.weight):
            raise ConfigError(f"source: {task.id!a} has the weight {task.weight}; a weight is a finite number")
    rows = codec(task_type).encode_block(tasks)
    if shows_more_than_its_row(task_type):
        rows = b"".join(map(spooled, rows.splitlines(), map(seen_of, tasks)))
    return Block(rows, array("q", (hash64(task.id) for task in tasks)))
