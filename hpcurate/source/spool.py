"""Tasks with what shows that they were changed, kept in a temporary file: memory does not grow with them.

What shows it is a task's row (that of a file has its size and time), and, where the item is more than its row says, 64
bits of the files behind it (`seen`). A line is the row, then a tab and these bits if there are any: no row has a tab.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import msgspec

from hpcurate.errors import ConfigError
from hpcurate.source.base import FolderTask, GroupTask
from hpcurate.source.walk import walk_files
from hpcurate.store.rows import codec
from hpcurate.task import FileTask, Task

__all__ = [
    "Entry",
    "Span",
    "Spool",
    "ids_of",
    "seen_of",
    "separated",
    "shows_more_than_its_row",
    "spooled",
    "weights_of",
]

Span = tuple[int, int]
"""Where some entries of a spool begin and end, in bytes."""
BLOCK = 2**20
"""Bytes that are copied at a time."""


class Entry(NamedTuple):
    """A task of a source."""

    row: bytes
    """Without its newline."""
    task: Task
    seen: int | None = None
    """What the files behind it looked like; None if the row says all, or nobody looked."""
    place: int = 0
    """Where its spool has it."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        task = self.task
        return task.source if isinstance(task, (FileTask, GroupTask, FolderTask)) else task.id

    @property
    def mark(self) -> int:
        """64 bits that are the same as long as row and files are, in this process."""
        return hash((self.row, self.seen))

    def same_as(self, other: Entry) -> bool:
        """Whether it is unchanged as far as both show. A row of an earlier release may lack a field that has a default
        now: it is compared as it would be written today.
        """
        if self.seen != other.seen and None not in (self.seen, other.seen):
            return False
        return self.row == other.row or _today(self.task) == _today(other.task)


def _today(task: Task) -> bytes:
    return codec(type(task)).encode(task)


class Spool:
    """Entries in order. One reader or writer at a time."""

    def __init__(self, task_type: type[Task]) -> None:
        self.task_type, self.count = task_type, 0
        self._decode = codec(task_type).decode
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="hpcurate-scan-")  # noqa: SIM115 - lives as long as it
        self._end = 0
        self._at_end = True

    def add(self, row: bytes, seen: int | None = None) -> int:
        """One more entry, at the end; its place."""
        place = self._end
        self.add_block(spooled(row, seen), 1)
        return place

    def add_block(self, lines: bytes, count: int) -> None:
        """So many entries, each as `spooled` makes it."""
        if not self._at_end:  # a seek flushes
            self._file.seek(self._end)
            self._at_end = True
        self._end += self._file.write(lines)
        self.count += count

    def lines(self, place: int = 0, most: int | None = None) -> Iterator[bytes]:
        """All from this place on, or the first so many, as `spooled` made them."""
        self._seek(place)
        return itertools.islice(self._file, most)

    def entries(self, most: int | None = None, *, place: int = 0) -> Iterator[Entry]:
        """All from this place on, or the first so many."""
        for line in self.lines(place, most):
            yield self._entry(line, place)
            place += len(line)

    def entry(self, place: int) -> Entry:
        """The one at this place."""
        return next(self.entries(1, place=place))

    @property
    def end(self) -> int:
        """Place of the next entry."""
        return self._end

    def copy(self, spans: Sequence[Span]) -> Spool:
        """The entries of these spans; the spool itself if that is all."""
        if list(spans) == [(0, self._end)]:
            return self
        made = Spool(self.task_type)
        for place, end in spans:
            self._seek(place)
            while block := self._file.read(min(BLOCK, end - place)):
                made.add_block(block, block.count(b"\n"))
                place += len(block)
        return made

    def digest(self) -> str:
        """Eight digits of all that it holds."""
        self._seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()[:8]  # type: ignore[arg-type]

    def _seek(self, place: int) -> int:
        self._at_end = False
        return self._file.seek(place)

    def _entry(self, line: bytes, place: int) -> Entry:
        row, _, seen = line.rstrip(b"\n").partition(b"\t")
        return Entry(row, self._decode(row), int(seen, 16) if seen else None, place)


def spooled(row: bytes, seen: int | None) -> bytes:
    """An entry as a spool keeps it. Pure."""
    return row + (b"\n" if seen is None else b"\t%x\n" % seen)


def separated(task_type: type[Task], lines: Sequence[bytes]) -> tuple[bytes, bytes]:
    """(rows, what was seen of each) of such lines, a line each; nothing where nothing was seen. Pure."""
    if not shows_more_than_its_row(task_type):
        return b"".join(lines), b""
    both = [line.rstrip(b"\n").partition(b"\t") for line in lines]
    seen = b"".join(seen + b"\n" for _, _, seen in both)
    return b"".join(row + b"\n" for row, _, _ in both), seen if seen.strip() else b""


class _Known(msgspec.Struct, gc=False):
    id: str
    weight: float


_known = msgspec.json.Decoder(_Known)


def weights_of(task_type: type[Task], rows: bytes) -> list[float]:
    """The weight of each of these rows, a line each. Pure."""
    return [row.weight for row in _read(task_type, rows)]


def ids_of(task_type: type[Task], rows: bytes) -> list[str]:
    """The id of each of these rows, a line each. Raises RecordError. Pure."""
    return [row.id for row in _read(task_type, rows)]


def _read(task_type: type[Task], rows: bytes) -> Sequence[_Known | Task]:
    try:
        return _known.decode_lines(rows)
    except msgspec.MsgspecError:  # a row has what only the codec reads
        return [codec(task_type).decode(row) for row in rows.splitlines()]


# -- the files behind a row -------------------------------------------------------------------------


def shows_more_than_its_row(task_type: type[Task]) -> bool:
    """Whether items of this class have files that their rows do not describe."""
    return issubclass(task_type, (GroupTask, FolderTask))


def seen_of(task: Task) -> int | None:
    """64 bits of the sizes and times of a group's files, or of all files below a folder; else None.

    It costs a stat for each of these files.
    """
    if isinstance(task, GroupTask):
        return _bits(*(_look(f"{member} ", path) for member, path in sorted(task.files.items())))
    return _bits(*_listing(task.path)) if isinstance(task, FolderTask) else None


def _listing(folder: str) -> Iterator[bytes]:
    try:
        for entry in walk_files(folder):
            yield _look(f"{os.path.relpath(entry.path, folder)} ", entry)
    except ConfigError:  # who may not list it finds that out when a stage does
        yield b"cannot be listed"


def _look(name: str, path: str | os.DirEntry[str]) -> bytes:
    try:
        status = path.stat() if isinstance(path, os.DirEntry) else os.stat(path)
        found = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):  # a row may name what no file can be called
        found = "is not there"
    return (name + found).encode("utf-8", "surrogatepass")


def _bits(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return int.from_bytes(digest.digest(), "big")
