"""Notes of what is in work: an attempt that runs alone in its worker writes each task down before it begins it.

When the whole job is killed, the last whole line names the task. One file, one flushed line a task, and only while a
culprit is sought. Runs in every stage environment: Python 3.9.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import Optional

__all__ = ["Note", "last_task"]


class Note:
    """The note of one attempt; without a path it holds nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: Optional[int] = None

    def __enter__(self) -> Note:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def write(self, task: str, row: int) -> None:
        """Make it durable that this task, read from that row of the shard, is in work.

        Raises OSError: the task must not begin then.
        """
        if not self._path:
            return
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        line = json.dumps({"row": row, "task": task}).encode() + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        os.fsync(self._descriptor)


def last_task(data: bytes) -> tuple[str, ...]:
    """Id in the last whole line of a note: half a line is of a task that never began. None if there is none. Pure."""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    with suppress(ValueError, KeyError, TypeError, IndexError):
        return (str(json.loads(lines[-1])["task"]),)
    return ()
