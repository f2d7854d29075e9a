"""What a source is, and the tasks that sources make."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import attrs

from hpcurate.errors import ConfigError
from hpcurate.objects.address import is_remote
from hpcurate.task import SOURCE_FILES, FileTask, Task, stable_id

MISSING = ("error", "skip")
"""What may be said of an item that is not all there."""
Placed = tuple[str, Task]
"""A task and where it stands (`file:line`). A source whose items stand in a file has a method `placed()` that yields
these, so that two tasks with one id can both be pointed at."""


class Block(NamedTuple):
    """Some tasks in a row, as a spool keeps them."""

    rows: bytes
    """A line each."""
    ids: array[int]
    """`hash64` of the id of each."""
    read: tuple[str, int, str] | None = None
    """Path, bytes and digest of the lines of a file that they were read from."""


class Source(Protocol):
    """Enumerates tasks in an order that depends on nothing but the data."""

    @property
    def task_type(self) -> type[Task]:
        """Class of the tasks."""

    def identity(self) -> dict[str, Any]:
        """What makes this source this source: part of every fingerprint after it."""

    def tasks(self) -> Iterator[Task]:
        """All tasks there are now, in order. Raises ConfigError if there is nothing to read.

        A source that leaves items out on purpose has a method `notes()`: lines to show after the enumeration. One that
        is faster in blocks has a method `blocks()`: the same tasks, as `Block`s.
        """


@attrs.define(kw_only=True)
class FolderTask(Task):
    """A folder as an item."""

    source: str
    """Path relative to the input root."""
    path: str
    """Absolute path."""


@attrs.define(kw_only=True)
class GroupTask(Task):
    """Several files as one item, e.g. a video, its sound and its metadata."""

    source: str
    """What they have in common: the path without extension, relative to the input root."""
    files: dict[str, str] = attrs.field(metadata=SOURCE_FILES)
    """Member → absolute path."""


@attrs.define(kw_only=True)
class RecordTask(Task):
    """A row of a table."""

    data: dict[str, Any]


def hash64(text: str) -> int:
    """64 bits that stand for an id in this process, and in those that are forked from it: two of a million collide
    once in 10^7 such sets.
    """
    return hash(text)


def absolute(path: str) -> str:
    """A path as a user typed it; the address of something in a bucket without a slash at its end.

    Raises ConfigError for what is none, such as a list in Python.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"input: {path!a} is no path; several are hpcurate.source.Several({{NAME: Files(PATH), …}})")
    if is_remote(path):
        return path.rstrip("/")
    return os.path.abspath(os.path.expanduser(path))


def file_task(source: str, path: str, status: os.stat_result) -> FileTask:
    """The task of one file; its weight is its size in MB."""
    return FileTask(
        id=stable_id("file", source),
        source=source,
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        weight=max(status.st_size / 1e6, 0.001),
    )


def suffixes(extensions: tuple[str, ...]) -> tuple[str, ...]:
    """`mp4`, `.MP4` → `.mp4`."""
    return tuple("." + e.lower().lstrip(".") for e in extensions)
