"""The files of one attempt: where they lie, that every one named by a row is there, and which are removed.

A file stays if a row that is passed on names it, whoever wrote it, or if the task it was written for is passed on.
Others are removed when the shard is finished: until then a row of a later batch may still name them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Optional

import attrs

from hpcurate.errors import StageError, StoreFailed
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.store_errors import own_io, store_failed
from hpcurate.store.files import files_folder
from hpcurate.task import File, Task

GONE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Answers of a filesystem that works: there is no such file."""
NO_NAMES = frozenset([".", ".."])


class AttemptFiles:
    """What was written below `files/` of an attempt, and who needs it. Folders are named by `files_folder`."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._kept: set[str] = set()
        """Folders that a row names, or whose task is passed on."""
        self._ended: set[str] = set()
        """Folders of tasks that were not passed on."""
        self._named: dict[str, str] = {}
        """Path relative to the attempt's folder → id of a task whose row names it."""
        self._recorded: dict[str, Optional[frozenset[str]]] = {}
        self.others: set[str] = set()
        """Folders of other stages, or other shards of this one, whose files rows name."""
        self.failed: Optional[StoreFailed] = None
        """Set once no folder could be made: user code may hide the error, and pass tasks on without their files."""

    @property
    def directory(self) -> str:
        """The attempt's folder."""
        return self._job.directory

    # -- writing ------------------------------------------------------------------------------------

    def place(self, stage: str, task: Task, name: str) -> File:
        """Where a file of `task` goes. Raises StageError."""
        if not task.id:
            raise StageError(f"{stage}: a task needs an id before it gets files")
        if not name or any(part in ("", ".", "..") for part in name.split("/")):
            raise StageError(f"{stage}: {name!r} is not a relative file name")
        folder = files_folder(task.id)
        if folder in self._kept:
            raise StageError(f"{stage}: an earlier task of this shard has the id {task.id!r}, and files under it")
        if folder in self._ended:
            self._remove(folder)
            self._ended.discard(folder)
        path = f"{self._job.directory}/files/{folder}/{name}"
        try:
            _make_below(self._job.directory, path[: path.rindex("/")])
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EINVAL):
                raise  # it is the name
            self.failed = store_failed("a folder below", self._job.directory, error)
            raise self.failed from error
        return File(f"{self._job.ref}/files/{folder}/{name}", path)

    def discard(self, owners: Collection[str]) -> None:
        """Remove what a try that failed has written for these tasks."""
        for owner in owners:
            self._remove(files_folder(owner))

    # -- rows ---------------------------------------------------------------------------------------

    def check(self, named: Mapping[str, Task]) -> None:
        """Every file is there: `named` is reference → a task whose row names it. Raises StageError."""
        if self.failed is not None:
            raise self.failed
        for ref, task in named.items():
            wrong = self._wrong_with(ref)
            if wrong:
                raise StageError(f"task {task.id!r}: {_field_of(task, ref)}: the file {ref!r} {wrong}")

    def passed_on(self, owners: Collection[str], alive: Collection[str], named: Mapping[str, Task]) -> None:
        """A batch is written: `owners` wrote files, `alive` are passed on, `named` as in `check`."""
        for owner in owners:
            (self._kept if owner in alive else self._ended).add(files_folder(owner))
        for ref, task in named.items():
            path = self._own(ref)
            if path is not None:
                self._named.setdefault(path, task.id)
                self._kept.add(path.split("/", 2)[1])
            else:
                self.others.add(ref.split("/")[0])

    def finish(self) -> None:
        """Remove what nobody needs; look again that what rows name is there. Raises StageError."""
        for folder in self._ended:
            self._remove(folder)
        for path, task_id in self._named.items():
            if self._look(f"{self._job.directory}/{path}"):
                raise StageError(f"task {task_id!r} was passed on with the file {path!r}, which has since been removed")

    # -- looking ------------------------------------------------------------------------------------

    def _wrong_with(self, ref: str) -> str:
        """Why a row may not name this file; empty if it may."""
        parts = ref.split("/")
        if not ref or not NO_NAMES.isdisjoint(parts):
            return "is not a place that self.file() gave"
        own = self._own(ref)
        if own is not None:
            return self._look(f"{self._job.directory}/{own}")
        if len(parts) > 5 and parts[1] == "shards":
            recorded = self._recorded_in("/".join(parts[:4]))
            if recorded is not None:
                there = "/".join(parts[4:]) in recorded
                return "" if there else "is not among those of the shard that it names (its stats.json lists them)"
        return self._look(os.path.join(self._job.root, ref))

    def _own(self, ref: str) -> Optional[str]:
        """Path relative to the attempt's folder of a file of this shard."""
        return ref[len(self._job.ref) + 1 :] if ref.startswith(f"{self._job.ref}/files/") else None

    def _look(self, path: str) -> str:
        """Why this is no file; a folder counts if it holds one."""
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in GONE:
                raise store_failed("a look at", path, error) from error
            return f"was not written: there is nothing at {path}; write it before process() returns, or leave it None"
        if stat.S_ISDIR(mode):
            return "" if any(names for _, _, names in os.walk(path)) else "is an empty folder"
        return "" if stat.S_ISREG(mode) else "is a link or a device, which no shard keeps; copy or hard-link it"

    def _recorded_in(self, shard: str) -> Optional[frozenset[str]]:
        """Files and folders of a committed shard, as its `stats.json` has them; None where that says nothing."""
        if shard not in self._recorded:
            files = _files_in(os.path.join(self._job.root, shard, "stats.json"))
            self._recorded[shard] = None if files is None else frozenset(_with_folders(files))
        return self._recorded[shard]

    # -- removing -----------------------------------------------------------------------------------

    def _remove(self, folder: str) -> None:
        """All of a task's files but those that a row names. What cannot be removed does no harm."""
        top = f"files/{folder}"
        if folder not in self._kept:
            shutil.rmtree(os.path.join(self._job.directory, top), ignore_errors=True)
            return
        for path in list(self._walk(top)):
            if not any(part in self._named for part in _with_folders([path])):
                with suppress(OSError):
                    os.unlink(os.path.join(self._job.directory, path))

    def _walk(self, top: str) -> Iterator[str]:
        """Files below `top`, as paths relative to the attempt's folder."""
        root = self._job.directory
        with own_io("a listing of", root):
            for base, _, names in os.walk(os.path.join(root, top), onerror=_unless_gone):
                for name in names:
                    yield os.path.relpath(os.path.join(base, name), root)


def _make_below(directory: str, folder: str) -> None:
    """Make a folder and those above it, but not the attempt's own: without that the store is not there. OSError."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    except FileNotFoundError:
        above = os.path.dirname(folder)
        if above == directory or os.path.isdir(above):
            raise
        _make_below(directory, above)
        os.mkdir(folder)


def _unless_gone(error: OSError) -> None:
    if error.errno not in GONE:
        raise error


def _files_in(stats: str) -> Optional[Mapping[str, int]]:
    """What a `stats.json` lists; None where there is none, or an old one without the list."""
    with own_io("reading", stats):
        try:
            with open(stats, "rb") as file:
                found: Optional[Mapping[str, int]] = json.load(file).get("files")
                return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise OSError(errno.EIO, f"no JSON: {error}") from None


def _with_folders(paths: Iterable[str]) -> Iterator[str]:
    """Each path, and the folders above it."""
    for path in paths:
        while path:
            yield path
            path = os.path.dirname(path)


def _field_of(task: Task, ref: str) -> str:
    """The field of a task that names a file."""
    fields = (field.name for field in attrs.fields(type(task)))
    return next((name for name in fields if _names(getattr(task, name), ref)), "a field")


def _names(value: Any, ref: str) -> bool:
    if isinstance(value, File):
        return value.ref == ref
    if isinstance(value, dict):
        return any(_names(inner, ref) for inner in [*value, *value.values()])
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_names(inner, ref) for inner in value)
    return any(_names(getattr(value, name, None), ref) for name in getattr(type(value), "__annotations__", ()))
