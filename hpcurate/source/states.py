"""What the files behind an item look like: as they were taken in, and now. Only reads."""

from __future__ import annotations

import os

from hpcurate.source.spool import Entry, seen_of
from hpcurate.task import FileTask, Task

__all__ = ["paths_of", "state_now", "state_taken"]


def state_taken(entry: Entry) -> str:
    """Size and time of a file, a digest of several; empty for an item that is its row alone."""
    if isinstance(entry.task, FileTask):
        return f"{entry.task.size} {entry.task.mtime_ns}"
    return "" if entry.seen is None else f"{entry.seen:x}"


def state_now(entry: Entry) -> str:
    """The same as it is now. What cannot be looked at counts as it was: whoever opens it says more."""
    task = entry.task
    if isinstance(task, FileTask):
        try:
            status = os.stat(task.path)
        except (OSError, ValueError):
            return state_taken(entry)
        return f"{status.st_size} {status.st_mtime_ns}"
    now = None if entry.seen is None else seen_of(task)
    return state_taken(entry) if now is None else f"{now:x}"


def paths_of(task: Task) -> tuple[str, ...]:
    """Files and folders that an item stands for."""
    files = getattr(task, "files", None)
    return tuple(files.values()) if isinstance(files, dict) else tuple(filter(None, [getattr(task, "path", None)]))
