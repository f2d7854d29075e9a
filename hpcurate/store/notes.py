"""Notes of what is in work: an attempt that runs alone in its worker writes each task down before it begins it.

When the whole job is killed, the last whole line names the task, or says that nothing was in work: the attempt waited
for its turn, or for its commit. One file, one flushed line a task, and only while a culprit is sought. Runs in every
stage environment: Python 3.9.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Optional

__all__ = ["BEGUN", "NOTHING", "last_task", "line_of"]

NOTHING = b"{}\n"
"""Nothing is in work: the attempt has not begun, or has come to the end of its tasks."""
BEGUN = b"null\n"
"""Something is, and by now no task is to blame."""


def line_of(task: str, row: int) -> bytes:
    """The line that says that this task, read from that row of the shard, is in work. Pure."""
    return json.dumps({"row": row, "task": task}).encode() + b"\n"


def last_task(data: bytes) -> Optional[tuple[str, ...]]:
    """The task in work, by the last whole line: half a line is of one that never began. () if nothing was in work.

    None where that is not known. Pure.
    """
    lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
    if lines and lines[-1] == NOTHING:
        return ()
    with suppress(ValueError, KeyError, TypeError, IndexError):
        return (str(json.loads(lines[-1])["task"]),)
    return None
