"""Files and folders as tasks: a folder, a glob, a list of paths, sub-directories."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option
from hpcurate.objects.address import SCHEME, is_remote
from hpcurate.source.base import MISSING, FolderTask, Placed, absolute, file_task, suffixes
from hpcurate.source.walk import walk_files, walk_folders
from hpcurate.task import FileTask, Task, stable_id
from hpcurate.units import plural


@attrs.define(frozen=True)
class Files:
    """Files below a folder, or those a glob matches, as `FileTask`s sorted by relative path.

    A folder is searched recursively; `extensions` are compared without regard to case. Hidden files and
    folders are left out. In a bucket, `s3://…`, all that a prefix has counts as a folder.
    """

    path: str = option(NEEDED, "folder, file, or glob such as /data/**/*.mp4; in a bucket s3://bucket/videos")
    extensions: tuple[str, ...] = option((), "take only these, e.g. [mp4, mkv]; empty takes all", converter=tuple)
    _odd: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = FileTask

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"files": absolute(self.path), "extensions": sorted(e.lower().lstrip(".") for e in self.extensions)}

    def tasks(self) -> Iterator[FileTask]:
        """See `Source`. Holds the names of one folder at a time; those of a glob all."""
        wanted, found = suffixes(self.extensions), False
        self._odd.clear()
        for task in self._in_bucket() if is_remote(self.path) else self._on_disk():
            if not wanted or task.path.lower().endswith(wanted):
                found = True
                yield task
        if not found:
            kinds = f" with extension {', '.join(self.extensions)}" if self.extensions else ""
            raise ConfigError(f"input={self.path}: no file{kinds} there")

    def notes(self) -> list[str]:
        """Objects that could not be files."""
        return [f"no path of a file: {plural(len(self._odd), 'object')}, e.g. {name!a}" for name in self._odd[:1]]

    def _in_bucket(self) -> Iterator[FileTask]:
        from hpcurate.source.buckets import objects_of

        return objects_of(absolute(self.path), self._odd.append)

    def _on_disk(self) -> Iterator[FileTask]:
        root, paths = self._found()
        return (file_task(os.path.relpath(path, root), path, status) for path, status in paths)

    def _found(self) -> tuple[str, Iterator[tuple[str, os.stat_result]]]:
        """Input root, and the files below it with their sizes and times."""
        path = absolute(self.path)
        if os.path.isdir(path):
            return path, _walked(path)
        if os.path.isfile(path):
            return os.path.dirname(path), iter([(path, os.stat(path))])
        if glob.has_magic(path):
            root = _root_of_glob(path)
            return root, _matched(path, root)
        raise ConfigError(f"input={self.path}: {_not_there(str(self.path))}")


def _not_there(path: str) -> str:
    """What to give instead of a path that leads nowhere. Pure."""
    if address := re.match(r"(\w+)://", path):
        return f"of addresses only {SCHEME}BUCKET/PREFIX is read, not {address[0]}; copy it to a folder first"
    several = f"; several are one list, 'input=[{path}]'" if "," in path else ""
    return f"no such folder or file; give a folder or a glob like '/data/*.mp4'{several}"


def _walked(root: str) -> Iterator[tuple[str, os.stat_result]]:
    for entry in walk_files(root):
        try:
            yield entry.path, entry.stat()
        except FileNotFoundError:  # deleted meanwhile
            continue


def _matched(pattern: str, root: str) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(set(glob.iglob(pattern, recursive=True)), key=lambda p: os.path.relpath(p, root)):
        if os.path.isfile(path):
            yield path, os.stat(path)


def _root_of_glob(pattern: str) -> str:
    """Longest leading folder of a glob without a magic character."""
    parts = pattern.split(os.sep)
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return os.sep.join(parts[:plain]) or os.sep


@attrs.define(frozen=True)
class FileList:
    """Files that a text file names, one a line (or NUL-separated), in its order.

    Relative paths start from the list's folder.
    """

    path: str = option(NEEDED, "text file with a path a line; NUL-separated if it holds a NUL byte")
    missing: str = option("error", "a file that is not there: `error`, or `skip`, which is counted", choices=MISSING)
    _skipped: list[str] = attrs.field(factory=list, init=False, eq=False)
    task_type: ClassVar[type[Task]] = FileTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"list": absolute(self.path)}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return (task for _, task in self.placed())

    def placed(self) -> Iterator[Placed]:
        """See `Placed`."""
        self._skipped.clear()
        found, folder = False, os.path.dirname(absolute(self.path))
        for number, name in self._names():
            path = os.path.join(folder, name)
            if is_remote(name):
                raise ConfigError(
                    f"input={self.path}: line {number}: {name}: a list names files; a bucket is listed by itself, "
                    "input=s3://BUCKET/PREFIX, or s3://BUCKET/**/*.mp4"
                )
            status = _status(path)
            if isinstance(status, os.stat_result):
                found = True
                yield f"{absolute(self.path)}:{number}", file_task(name, path, status)
            elif self.missing == "skip":
                self._skipped.append(name)
            else:
                raise ConfigError(
                    f"input={self.path}: line {number}: {path}: {status}; correct the line, or source.missing=skip"
                )
        if not found:
            raise ConfigError(f"input={self.path}: names no file")

    def notes(self) -> list[str]:
        """What was left out."""
        return [
            f"not there: {plural(len(self._skipped), 'file')} of the list, e.g. {name!a}" for name in self._skipped[:1]
        ]

    def _names(self) -> Iterator[tuple[int, str]]:
        try:
            with open(absolute(self.path), "rb") as file:
                separator = b"\0" if b"\0" in file.read(65536) else b"\n"
                file.seek(0)
                yield from _split(file, separator)
        except OSError as error:
            raise ConfigError(f"input={self.path}: cannot be read: {error.strerror}") from None


def _status(path: str) -> os.stat_result | str:
    """Size and time of a file, or what is wrong with it."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.strerror or str(error)
    return status if stat.S_ISREG(status.st_mode) else "Is no file"


def _split(file: Any, separator: bytes) -> Iterator[tuple[int, str]]:
    rest, number = b"", 0
    while block := file.read(1 << 20):
        *lines, rest = (rest + block).split(separator)
        for line in lines:
            number += 1
            if line := line.rstrip(b"\r") if separator == b"\n" else line:
                yield number, os.fsdecode(line)
    if rest:
        yield number + 1, os.fsdecode(rest)


@attrs.define(frozen=True)
class Folders:
    """Sub-directories `level` steps below a folder, each one a task."""

    path: str = option(NEEDED, "folder")
    level: int = option(1, "how many steps below it the items lie", minimum=1)
    task_type: ClassVar[type[Task]] = FolderTask

    def __attrs_post_init__(self) -> None:
        check_values(self, "source")

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"folders": absolute(self.path), "level": self.level}

    def tasks(self) -> Iterator[FolderTask]:
        """See `Source`."""
        root, found = absolute(self.path), False
        for entry in walk_folders(root, self.level):
            found = True
            source = os.path.relpath(entry.path, root)
            yield FolderTask(id=stable_id("folder", source), source=source, path=entry.path)
        if not found:
            raise ConfigError(f"input={self.path}: no folder {self.level} steps below it")
