"""One enumeration of a source, kept in a temporary file: memory does not grow with the tasks.

Nothing is written to the store before it has ended well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence, Set

import attrs

from hpcurate.errors import ConfigError, RecordError
from hpcurate.source import Source
from hpcurate.source.base import Placed, hash64
from hpcurate.source.blocks import blocks
from hpcurate.source.ids import Ids
from hpcurate.source.spool import Entry, Span, Spool, seen_of, separated, weights_of
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["Scan", "scan"]


@attrs.define
class Scan:
    """Tasks of a source, in order."""

    source: Source
    count: int
    whole: bool
    """Whether the source has no more."""
    notes: tuple[str, ...]
    """What the source left out on purpose, as lines to show."""
    _spool: Spool
    end: int
    """Bytes of these tasks in the spool."""

    @property
    def task_type(self) -> type[Task]:
        """Class of the tasks."""
        return self.source.task_type

    @property
    def left_out(self) -> Set[int]:
        """`hash64` of ids that are there but count as done: taken in or not, they have not vanished."""
        return frozenset(getattr(self.source, "left_out", ()))

    def entries(self) -> Iterator[Entry]:
        """Each task. One reader at a time."""
        return self._spool.entries(self.count)

    def lines(self) -> Iterator[bytes]:
        """The same, as the spool has them."""
        return self._spool.lines(0, self.count)

    def weights(self) -> Iterator[float]:
        """Of each task."""
        lines = self.lines()
        while part := list(itertools.islice(lines, 1000)):
            yield from weights_of(self.task_type, separated(self.task_type, part)[0])

    def within(self, spans: Sequence[Span]) -> Iterator[Entry]:
        """Tasks of these spans of the spool."""
        for place, end in spans:
            for entry in self._spool.entries(place=place):
                if entry.place >= end:
                    break
                yield entry

    def copy(self, spans: Sequence[Span]) -> Spool:
        """The same, in a spool."""
        return self._spool.copy(spans)

    def entry(self, place: int) -> Entry:
        """The one at a place of the spool."""
        return self._spool.entry(place)

    def beyond(self, wanted: Set[int]) -> Iterator[Entry]:
        """Tasks with these `hash64`s that a limited scan did not reach, as the source has them now.

        Ends when all are found, or with the source. Raises ConfigError for what comes on the way.
        """
        left, encode = set(wanted), codec(self.task_type).encode
        for task in self.source.tasks() if left and not self.whole else ():
            number = hash64(task.id)
            if number in left:
                left.discard(number)
                yield self._spool.entry(self._spool.add(encode(task), seen_of(task)))
                if not left:
                    return


def scan(source: Source, limit: int | None = None, progress: Callable[[int], None] = lambda count: None) -> Scan:
    """Enumerate the source, or its first `limit` tasks. Raises ConfigError, also for two tasks with one id."""
    spool, ids = Spool(source.task_type), Ids()
    try:
        for block in blocks(source, limit):
            spool.add_block(block.rows, len(block.ids))
            ids.add(block.ids)
            progress(spool.count)
        if ids.twice():
            _refuse(source, limit)
    except (ConfigError, RecordError) as error:
        _refuse(source, limit)
        raise error if isinstance(error, ConfigError) else ConfigError(f"source: {error}") from None
    progress(spool.count)
    whole = limit is None or spool.count < limit
    return Scan(source, spool.count, whole, tuple(getattr(source, "notes", list)()), spool, spool.end)


def _refuse(source: Source, limit: int | None) -> None:
    """Raise ConfigError for what is wrong first with these tasks, which are enumerated once more, one by one."""
    encode, known = codec(source.task_type).encode, set[int]()
    for count, task in enumerate(itertools.islice(source.tasks(), limit), 1):
        if hash64(task.id) in known:
            raise ConfigError(f"source: two tasks have the id {task.id!a}: {_both(source, task)}; ids are unique")
        if not math.isfinite(task.weight):
            raise ConfigError(f"source: {_name(task)} has the weight {task.weight}; a weight is a finite number")
        known.add(hash64(task.id))
        try:
            encode(task)
        except RecordError as error:
            raise ConfigError(f"source: item {count}: {error}") from None


def _both(source: Source, second: Task) -> str:
    """Where the two tasks with one id stand: enumerated once more, so that a scan need not remember it."""
    while hasattr(source, "source"):  # a part of another
        source = source.source
    placed: Callable[[], Iterator[Placed]] | None = getattr(source, "placed", None)
    found = placed() if placed else ((f"item {n} ({_name(task)})", task) for n, task in enumerate(source.tasks(), 1))
    return " and ".join(itertools.islice((where for where, task in found if task.id == second.id), 2))


def _name(task: Task) -> str:
    return ascii(getattr(task, "source", task.id))
