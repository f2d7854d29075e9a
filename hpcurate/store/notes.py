"""Notes of what is in work: an attempt that runs alone in its worker writes each task down before it begins it.

When the whole job is killed, the last whole line names the task. One file, one flushed line a task, and only while a
culprit is sought.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

__all__ = ["Note", "last_task"]


class Note:
    """The note of one attempt, to be written."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def write(self, task: str) -> None:
        """Make it durable that this task is in work. Raises OSError: the task must not begin then."""
        line = json.dumps({"task": task}).encode() + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError(f"a note of {len(line)} bytes was cut short")
        os.fsync(self._descriptor)

    def close(self) -> None:
        """No more tasks."""
        os.close(self._descriptor)


def last_task(data: bytes) -> tuple[str, ...]:
    """Id in the last whole line of a note: half a line is of a task that never began. None if there is none. Pure."""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    with suppress(ValueError, KeyError, TypeError, IndexError):
        return (str(json.loads(lines[-1])["task"]),)
    return ()
