"""Tasks with what shows that they were changed, kept in a temporary file: memory does not grow with them.

What shows it is a task's row (that of a file has its size and time), and, where the item is more than its row says, 64
bits of the files behind it (`seen`). A line is the row, then a tab and these bits if there are any: no row has a tab.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

from hpcurate.errors import ConfigError
from hpcurate.source.base import FolderTask, GroupTask
from hpcurate.source.walk import walk_files
from hpcurate.store.rows import codec
from hpcurate.task import FileTask, Task

__all__ = ["Entry", "Spool", "seen_of", "shows_more_than_its_row"]


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
        """64 bits that are the same as long as row and files are."""
        return _bits(self.row, b"" if self.seen is None else b"%x" % self.seen)

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
        if not self._at_end:  # a seek flushes
            self._file.seek(self._end)
            self._at_end = True
        place, self.count = self._end, self.count + 1
        self._end += self._file.write(row + (b"\n" if seen is None else b"\t%x\n" % seen))
        return place

    def entries(self, most: int | None = None) -> Iterator[Entry]:
        """All, or the first so many."""
        place = self._seek(0)
        for line in itertools.islice(self._file, most):
            yield self._entry(line, place)
            place += len(line)

    def entry(self, place: int) -> Entry:
        """The one at this place."""
        self._seek(place)
        return self._entry(self._file.readline(), place)

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
