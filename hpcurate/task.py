"""Tasks: the small typed records that travel between stages. Heavy data are files beside them.

This module runs in every stage environment: Python 3.9 or newer, attrs and the standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO, ClassVar, Optional

import attrs

from hpcurate.ids import stable_id
from hpcurate.sums import StageSums

__all__ = [
    "File",
    "FileTask",
    "Record",
    "Saved",
    "StageSums",
    "Task",
    "any_saved",
    "put_saved",
    "saved_of",
    "stable_id",
]


SOURCE_FILES = {"hpcurate.source_files": True}
"""Metadata of a field with the path of a file of the source, or a dict of such paths: a stage that takes these tasks
opens them. Those in object storage are copied to the node first; see `Stage.source_files`."""


class _Memory:
    """What a task has beside its fields: a dict that is never written, and what stages have saved with it."""

    __slots__ = ("_memory", "_saved")
    _saved: Mapping[str, Saved]
    _in_use: ClassVar[bool] = False
    """Whether any task of this process has had something saved: in most processes nobody has to look at each."""

    @property
    def memory(self) -> dict[str, Any]:
        """Scratch space shared by the members of a `Chain` and by `prepare`; never serialised."""
        try:
            return self._memory
        except AttributeError:
            self._memory: dict[str, Any] = {}
            return self._memory

    @property
    def saved(self) -> Mapping[str, Saved]:
        """What `Stage.save` has kept with the task, by name; it goes where the task, or one of its id, is passed on."""
        return saved_of(self)


@attrs.define(kw_only=True)
class Task(_Memory):
    """One work item.

    Subclasses must be `attrs.define(kw_only=True)` classes, so that mandatory fields may follow the
    optional ones of this base.
    """

    id: str
    """Stable name of the item; never random, or a second run could not recognise it."""
    parents: tuple[str, ...] = ()
    """Ids of the tasks this one was made from."""
    weight: float = 1.0
    """Expected cost in any unit the pipeline keeps to, e.g. seconds of video."""

    def amounts(self) -> dict[str, float]:
        """What the task amounts to, by unit: `{"seconds": 12.5, "bytes": 4096}`; a unit that is not known is left out.

        Of each stage it is added up what came in, what went out, and what was dropped for which reason.
        """
        return {}


@attrs.define(kw_only=True)
class FileTask(Task):
    """An input file as its source found it."""

    source: str
    """Path relative to the input root; undecodable bytes are surrogate-escaped."""
    path: str = attrs.field(metadata=SOURCE_FILES)
    """Absolute path; of a file inside another one (a member of a tar) its address, see `inside.py`; of an object in a
    bucket `s3://…` in the row, and for a stage the copy on its node."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Modification time in nanoseconds, compared only with itself to notice a changed file."""

    def amounts(self) -> dict[str, float]:
        """Bytes of the file."""
        return {"bytes": self.size}

    def open(self) -> BinaryIO:
        """The file, open for reading; a member of a tar as a file of its own. Raises OSError."""
        from hpcurate.inside import open_inside  # here: a gate opens nothing

        return open_inside(self.path)


class File(os.PathLike):  # type: ignore[type-arg]
    """A file that a stage made: a field type, and an `os.PathLike` for `open()`.

    `ref` is where it lies under the store's `stages/` folder once its shard is committed, and is all
    that a row holds; `path` is where it lies now, which during the attempt is the attempt's folder.
    """

    __slots__ = ("path", "ref")

    def __init__(self, ref: str, path: Optional[str] = None) -> None:
        self.ref = ref
        self.path = path

    def __fspath__(self) -> str:
        if self.path is None:
            raise FileNotFoundError(f"file reference {self.ref!r} was read without its store")
        return self.path

    @property
    def name(self) -> str:
        """Final path component."""
        return PurePosixPath(self.ref).name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and other.ref == self.ref

    def __hash__(self) -> int:
        return hash(self.ref)

    def __repr__(self) -> str:
        return f"File({self.ref!r})"


@attrs.define(frozen=True)
class Saved(os.PathLike):  # type: ignore[type-arg]
    """A value that a stage has saved with a task: a path for `open()`; `Stage.load` reads it back."""

    file: File
    about: File
    """What is known of it, as JSON: its saver, its class, its shape."""

    def __fspath__(self) -> str:
        return self.file.__fspath__()


def saved_of(task: _Memory) -> Mapping[str, Saved]:
    """The same as `task.saved`, also where the class has a field of that name."""
    return getattr(task, "_saved", None) or {}


def put_saved(task: _Memory, saved: Mapping[str, Saved]) -> None:
    """Add to what is saved with a task."""
    if saved:
        task._saved = {**saved_of(task), **saved}
        _Memory._in_use = True


def any_saved(tasks: Iterable[_Memory]) -> bool:
    """Whether something is saved with one of them."""
    return _Memory._in_use and any(map(saved_of, tasks))


@attrs.define(kw_only=True)
class Record(Task):
    """What a `Command` returns: values and files by name, its own and those of the task that came in."""

    values: dict[str, Any] = attrs.field(factory=dict)
    """Plain data: numbers, texts, lists, dicts."""
    files: dict[str, File] = attrs.field(factory=dict)


def marked_fields(cls: type[Task]) -> tuple[str, ...]:
    """Fields of a class of tasks that are marked as `SOURCE_FILES`."""
    return tuple(field.name for field in attrs.fields(cls) if SOURCE_FILES.items() <= field.metadata.items())
