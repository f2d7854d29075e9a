"""Sources: where the first tasks come from. Enumerated in the driver, sorted, frozen into lists."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fingerprint import digest
from hpcurate.records import codec
from hpcurate.task import FileTask, Task, stable_id

__all__ = ["Files", "Items", "Source"]


class Source(Protocol):
    """Enumerates tasks in an order that depends on the data alone."""

    @property
    def task_type(self) -> type[Task]:
        """Class of the tasks."""

    def identity(self) -> dict[str, Any]:
        """What makes this source this source: part of every fingerprint after it."""

    def tasks(self) -> Iterator[Task]:
        """All tasks there are now, sorted. Raises ConfigError if there is nothing to read."""


@attrs.define(frozen=True)
class Files:
    """Files below a folder, or those a glob matches, as `FileTask`s sorted by relative path.

    A folder is searched recursively; `extensions` are compared without regard to case. Hidden files and
    folders are left out.
    """

    path: str = attrs.field(metadata={"help": "folder, or glob such as /data/**/*.mp4"})
    extensions: tuple[str, ...] = attrs.field(
        default=(), converter=tuple, metadata={"help": "take only these, e.g. [mp4, mkv]; empty takes all"}
    )
    task_type: ClassVar[type[Task]] = FileTask

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        return {"files": self._absolute(), "extensions": sorted(e.lower().lstrip(".") for e in self.extensions)}

    def tasks(self) -> Iterator[FileTask]:
        """See `Source`."""
        root, paths = self._found()
        wanted = tuple("." + e.lower().lstrip(".") for e in self.extensions)
        chosen = sorted((os.path.relpath(p, root), p) for p in paths if not wanted or p.lower().endswith(wanted))
        if not chosen:
            kinds = f" with extension {', '.join(self.extensions)}" if self.extensions else ""
            raise ConfigError(f"input={self.path}: no file{kinds} there")
        for source, path in chosen:
            try:
                status = os.stat(path)
            except FileNotFoundError:  # deleted meanwhile, or a link to nothing
                continue
            yield FileTask(
                id=stable_id("file", source),
                source=source,
                path=path,
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                weight=max(status.st_size / 1e6, 0.001),
            )

    def _absolute(self) -> str:
        return os.path.abspath(os.path.expanduser(self.path))

    def _found(self) -> tuple[str, list[str]]:
        """Input root and the files below it."""
        path = self._absolute()
        if os.path.isdir(path):
            return path, list(_walk(path))
        if os.path.isfile(path):
            return os.path.dirname(path), [path]
        if glob.has_magic(path):
            return _root_of_glob(path), [p for p in set(glob.iglob(path, recursive=True)) if os.path.isfile(p)]
        raise ConfigError(f"input={self.path}: no such folder or file; give a folder or a glob like '/data/*.mp4'")


def _walk(root: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ConfigError(f"input: cannot list {error.filename}: {error.strerror}")

    for base, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".") and not _leads_back(os.path.join(base, f))]
        yield from (os.path.join(base, n) for n in names if not n.startswith("."))


def _leads_back(path: str) -> bool:
    """Whether a link names a folder that it lies in: followed, it would never end."""
    if not os.path.islink(path):
        return False
    return f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{os.path.realpath(path).rstrip('/')}/")


def _root_of_glob(pattern: str) -> str:
    """Longest leading folder of a glob without a magic character."""
    parts = pattern.split(os.sep)
    plain = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return os.sep.join(parts[:plain]) or os.sep


@attrs.define(frozen=True)
class Items:
    """Tasks given outright: from Python, or a few from the config."""

    items: tuple[Task, ...] = attrs.field(converter=tuple)

    def __attrs_post_init__(self) -> None:
        if not self.items:
            raise ConfigError("source: there are no tasks; give at least one")
        kinds = {type(item) for item in self.items}
        if len(kinds) > 1 or not issubclass(next(iter(kinds)), Task):
            raise ConfigError(f"source: all tasks are of one Task class, got {sorted(k.__name__ for k in kinds)}")

        seen: set[str] = set()
        for item in self.items:
            if item.id in seen:
                raise ConfigError(f"source: two tasks have the id {item.id!r}; ids are unique")
            if not math.isfinite(item.weight):
                raise ConfigError(f"source: task {item.id!r} has the weight {item.weight}; a weight is a finite number")
            seen.add(item.id)

    @property
    def task_type(self) -> type[Task]:
        """See `Source`."""
        return type(self.items[0])

    def identity(self) -> dict[str, Any]:
        """See `Source`."""
        rows = codec(self.task_type).encode_lines(self.items)
        return {"items": digest([row.decode("utf-8", "surrogateescape") for row in rows])}

    def tasks(self) -> Iterator[Task]:
        """See `Source`."""
        return iter(self.items)
