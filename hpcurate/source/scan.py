"""One enumeration of a source, kept in a temporary file: memory does not grow with the tasks.

Nothing is written to the store before it has ended well.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

import attrs

from hpcurate.errors import ConfigError, RecordError
from hpcurate.source.base import Block, Placed, Source, hash64
from hpcurate.source.blocks import blocks, in_blocks
from hpcurate.source.exclude import exclusion_in
from hpcurate.source.files_read import FileRead, FilesRead, look, with_pieces
from hpcurate.source.ids import Ids
from hpcurate.source.several import Several, input_of, notes_of, several_in
from hpcurate.source.spool import Entry, Span, Spool, seen_of, separated, weights_of
from hpcurate.source.taken import Taken
from hpcurate.store.rows import codec
from hpcurate.task import Task

__all__ = ["Scan", "scan", "scans"]


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
    """Place in the spool behind the last of them."""
    start: int = 0
    """Place of the first."""
    lists: str = ""
    """What the names of its lists begin with, of one of several inputs."""
    base: tuple[str, ...] = ()
    """Lists that have all that comes before these tasks, as it still is: these are only what was added since."""
    read: FilesRead | None = None
    """What the files were, of a source that has nothing else."""

    def again(self) -> Scan:
        """Of all tasks, whatever stands in lists. Raises ConfigError."""
        return _all(self.source, None, lambda count: None)

    @property
    def task_type(self) -> type[Task]:
        """Class of the tasks."""
        return self.source.task_type

    @property
    def left_out(self) -> Set[int]:
        """`hash64` of ids that are there but count as done: taken in or not, they have not vanished."""
        return frozenset(getattr(self.source, "left_out", ()))

    def excludes(self, task: Task) -> bool:
        """Whether an item is left out from now on, taken in or not."""
        exclusion = exclusion_in(self.source)
        return exclusion is not None and exclusion.has(task)

    def entries(self) -> Iterator[Entry]:
        """Each task. One reader at a time."""
        return self._spool.entries(self.count, place=self.start)

    def lines(self) -> Iterator[bytes]:
        """The same, as the spool has them."""
        return self._spool.lines(self.start, self.count)

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


def scan(
    source: Source,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda count: None,
    taken: Taken | None = None,
) -> Scan:
    """Enumerate the source, or its first `limit` tasks. Raises ConfigError, also for two tasks with one id.

    With `taken` files that are known to stand in its lists are not read again.
    """
    found = _since(source, taken) if taken is not None and limit is None else None
    return found or _all(source, limit, progress)


def scans(
    source: Source,
    limit: int | None = None,
    progress: Callable[[int], None] = lambda count: None,
    taken: Taken | None = None,
) -> list[Scan]:
    """The same for each of several inputs, of which each has lists of its own. Those that a limit does not reach are
    left out. Raises as `scan`.
    """
    several = several_in(source)
    if several is None:
        return [scan(source, limit, progress, taken)]
    found, ends = _Found(source), dict[str, tuple[int, int]]()
    try:
        tasks = itertools.islice(source.tasks(), limit)
        for name, some in itertools.groupby(tasks, input_of):
            if name not in several.sources or name <= max(ends, default=""):
                raise ConfigError(
                    f"source: {type(source).__name__} changes the order of several inputs, or their tasks"
                )
            found.take(in_blocks(source.task_type, some), progress)
            ends[name] = (found.spool.count, found.spool.end)
        if found.ids.twice():
            _refuse(source, limit)
    except (ConfigError, RecordError) as error:
        _refuse(source, limit)
        raise error if isinstance(error, ConfigError) else ConfigError(f"source: {error}") from None
    reached = None if limit is None or found.spool.count < limit else max(ends, default=None)
    return list(_parts(source, several, found.spool, ends, reached))


def _parts(
    source: Source, several: Several, spool: Spool, ends: Mapping[str, tuple[int, int]], last: str | None
) -> Iterator[Scan]:
    """A scan for each input up to the last one that was reached; `ends`: name → (tasks, place) behind its last task."""
    before, start, notes = 0, 0, tuple(notes_of(source))
    for name, lists in several.lists.items():
        count, end = ends.get(name, (before, start))
        yield Scan(source, count - before, name != last, notes, spool, end, start, lists)
        before, start, notes = count, end, ()
        if name == last:
            return


def _all(source: Source, limit: int | None, progress: Callable[[int], None]) -> Scan:
    found = _Found(source)
    try:
        files = _files(source)
        found.take(blocks(source, limit), progress)
        if found.ids.twice():
            _refuse(source, limit)
        read = found.read_of(files)
    except (ConfigError, RecordError) as error:
        _refuse(source, limit)
        raise error if isinstance(error, ConfigError) else ConfigError(f"source: {error}") from None
    spool = found.spool
    progress(spool.count)
    whole = limit is None or spool.count < limit
    return Scan(source, spool.count, whole, tuple(notes_of(source)), spool, spool.end, read=read)


def _since(source: Source, taken: Taken) -> Scan | None:
    """What was added to files whose rows stand in lists; None where all has to be read."""
    before, found = taken.files_read(), _Found(source)
    if before is None or before.reading != _reading(source) or not taken.has_just(before):
        return None
    try:
        files = _files(source)
        starts = before.since(files)
        if starts is None:
            return None
        if any(file.size > starts[file.path] for file in files):
            from hpcurate.source.tables import Jsonl  # here, as below: most runs read no table

            if not isinstance(source, Jsonl):
                return None
            found.take(source.blocks(starts), lambda count: None)
        read = found.read_of(before.pieces_of(files))
    except (ConfigError, RecordError):
        return None
    spool = found.spool
    new = {hash64(entry.task.id) for entry in spool.entries()}
    if read is None or found.ids.twice() or not taken.have_none_of(before.lists, new):
        return None
    return Scan(source, spool.count, True, (), spool, spool.end, base=before.lists, read=read)


class _Found:
    """What an enumeration has found so far."""

    def __init__(self, source: Source) -> None:
        self.source, self.spool, self.ids = source, Spool(source.task_type), Ids()
        self.pieces: list[tuple[str, int, str]] = []

    def take(self, some: Iterable[Block], progress: Callable[[int], None]) -> None:
        """Some more."""
        for block in some:
            self.spool.add_block(block.rows, len(block.ids))
            self.ids.add(block.ids)
            if block.read is not None:
                self.pieces.append(block.read)
            progress(self.spool.count)

    def read_of(self, files: tuple[FileRead, ...]) -> FilesRead | None:
        """What was read of these files; None where that is not known, or one was changed meanwhile."""
        reading, now = _reading(self.source), _files(self.source)
        if reading is None or [(f.path, f.state) for f in files] != [(f.path, f.state) for f in now]:
            return None
        return FilesRead(reading=reading, lists=(), shards="", files=with_pieces(files, self.pieces))


def _files(source: Source) -> tuple[FileRead, ...]:
    """The files of a source that has nothing else, as they are. Raises ConfigError."""
    if _reading(source) is None:
        return ()
    from hpcurate.source.hugging_face import HuggingFace
    from hpcurate.source.tables import Csv, Jsonl, Parquet

    return look(source.files()) if isinstance(source, (Jsonl, Csv, Parquet, HuggingFace)) else ()


def _reading(source: Source) -> str | None:
    found: Callable[[], str | None] | None = getattr(source, "reading", None)
    return found() if found else None


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
