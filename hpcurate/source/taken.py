"""What was taken in of a source: its lists, each in its newest version, and their rows with what the items looked like.

A version of a list supersedes the one before it: the same list again, in which the shards with changed or dropped rows
are replaced. A run reads the versions that it froze.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress

import attrs

from hpcurate.errors import RecordError, StoreError
from hpcurate.source.base import hash64
from hpcurate.source.files_read import FilesRead
from hpcurate.source.spool import Entry, ids_of, separated, shows_more_than_its_row
from hpcurate.store.layout import StageFolder, base, content_id, version
from hpcurate.store.lists import ShardLine
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.task import Task

SEEN = "seen.txt"
"""File of a shard, beside its rows: `Entry.seen` of each, in hexadecimal, a line each; only where there are any."""

__all__ = ["SEEN", "Taken", "list_names", "newest", "numbered", "of_input", "take_in_again"]


def numbered(number: int, of: str = "") -> str:
    """Name of a list: `0001`, or `1f2e3d4c_0001` of one of several inputs, whose lists begin with `of`. Pure."""
    return f"{of}_{number:04d}" if of else f"{number:04d}"


def of_input(name: str) -> str:
    """What the name of a numbered list begins with: `1f2e3d4c` of `1f2e3d4c_0001+2`. Pure."""
    return base(name).rpartition("_")[0]


def newest(names: Iterable[str], of: str = "") -> tuple[str, ...]:
    """The numbered lists among these, each in its newest version, in order; those of trials are left out, and those of
    other inputs than `of`. Pure.
    """
    found: dict[str, str] = {}
    for name in sorted((name for name in names if of_input(name) == of), key=version):
        if base(name).rpartition("_")[2].isdigit():
            found[base(name)] = name
    return tuple(found.values())


def list_names(store: StageStore, of: str = "") -> tuple[str, ...]:
    """The lists of a source that a scan adds to: see `newest`."""
    return newest(store.lists.names(), of)


def take_in_again(folder: StageFolder) -> str:
    """What to type where a source was purged. Pure."""
    return (
        f"move {folder.path} out of the store and type the run's command again: it takes the input in again, and what "
        "was done of the same input stands"
    )


@attrs.define(frozen=True)
class Taken:
    """Reads a source's part of the store."""

    store: StageStore
    task_type: type[Task]

    def lines(self, name: str) -> list[ShardLine]:
        """The shards of a list."""
        return self.store.lists.read(name) or []

    def count(self, lists: Sequence[str]) -> int:
        """Tasks in these lists."""
        return sum(line.count for name in lists for line in self.lines(name))

    def name(self, lists: Sequence[str]) -> str:
        """Names all shards of these lists."""
        return content_id((line.id,) for name in lists for line in self.lines(name))

    def has_just(self, read: FilesRead) -> bool:
        """Whether the lists of then are those of now, and all their shards are there, by a listing."""
        if read.lists != list_names(self.store) or read.shards != self.name(read.lists):
            return False
        lines = [line for name in read.lists for line in self.lines(name)]
        return len(self.store.commits.names(line.id for line in lines)) == len(lines)

    def have_none_of(self, lists: Sequence[str], ids: Set[int]) -> bool:
        """Whether no item of these lists has one of these ids (`hash64`); False where that cannot be told."""
        for line in (line for name in lists for line in self.lines(name)) if ids else ():
            try:
                found = ids_of(self.task_type, separated(self.task_type, self.spooled(line).splitlines(True))[0])
            except RecordError:
                return False
            if len(found) != line.count or not ids.isdisjoint(map(hash64, found)):
                return False
        return True

    def files_read(self) -> FilesRead | None:
        """What the files were when these lists were made, if that is known."""
        with suppress(OSError):
            return FilesRead.parse(self.store.filesystem.read(self.store.folder.files_read))
        return None

    def shards(self, lists: Sequence[str]) -> Iterator[tuple[ShardLine, list[Entry]]]:
        """Each shard of these lists, with its tasks."""
        for name in lists:
            for line in self.lines(name):
                yield line, self.entries(line)

    def entries(self, line: ShardLine) -> list[Entry]:
        """The tasks of a shard. Raises StoreError where they are not what was taken in."""
        path, found = os.path.join(self.store.folder.shard(line.id), "tasks.jsonl"), list[Entry]()
        try:
            found = self._entries(path)
            wrong = "" if len(found) == line.count else f"has {len(found)} rows, {line.count} were taken in"
        except FileNotFoundError:
            wrong = "is gone"
        except (RecordError, ValueError):
            wrong = "is damaged, or what lies beside it"
        if wrong:
            again = take_in_again(self.store.folder)
            raise StoreError(f"{path}: {wrong}, so the input as it was taken in is no longer whole; {again}")
        return found

    def spooled(self, line: ShardLine) -> bytes:
        """The same as a spool has them, without a look at them; empty where they cannot be read."""
        folder, read = self.store.folder.shard(line.id), self.store.filesystem.read
        try:
            rows = read(os.path.join(folder, "tasks.jsonl"))
            if not shows_more_than_its_row(self.task_type):
                return rows
            seen = read(os.path.join(folder, SEEN)).splitlines()
        except FileNotFoundError:
            return b""
        return b"".join(row + b"\t" + bits + b"\n" for row, bits in zip(rows.splitlines(), seen))

    def _entries(self, path: str) -> list[Entry]:
        """An earlier release did not write down what was seen."""
        read, decode = self.store.filesystem.read, codec(self.task_type).decode
        rows, seen = read(path).splitlines(), list[bytes]()
        if shows_more_than_its_row(self.task_type):
            with suppress(FileNotFoundError):
                seen = read(os.path.join(os.path.dirname(path), SEEN)).splitlines()
        bits = [int(text, 16) if text else None for text in seen or [b""] * len(rows)]
        return [Entry(row, decode(row), one) for row, one in zip(rows, bits, strict=True)]
