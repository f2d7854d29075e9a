"""One function over many things on several cores, in order, where this process may be forked. Python 3.9."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Callable, TypeVar

T = TypeVar("T")
_LENGTH = struct.Struct("=q")
FEWEST = 4
"""Things that are worth a fork."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def may_fork() -> bool:
    """Whether nothing but this thread runs in the process: a lock that another one holds is never let go in a child."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def in_processes(work: Callable[[T], bytes], things: Sequence[T], most: int) -> Iterator[bytes]:
    """`work` of each thing, in order, by at most so many children.

    What a child did not do, because it failed or was killed, is done here: so errors are raised here, too.
    """
    count = min(most, len(things)) if len(things) >= FEWEST and may_fork() else 0
    children = [_Child(work, things[k::count]) for k in range(count)] if count > 1 else []
    try:
        for number, thing in enumerate(things):
            done = children[number % count].next() if children else None
            yield work(thing) if done is None else done
    finally:
        for child in children:
            child.end()


class _Child:
    """Sends the results of its things, one after the other: it waits while nobody reads them."""

    def __init__(self, work: Callable[[T], bytes], things: Sequence[T]) -> None:
        ours, theirs = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(ours)
            _send_all(theirs, work, things)
        os.close(theirs)
        self._results = os.fdopen(ours, "rb")

    def next(self) -> bytes | None:
        """The next result; None once the child has ended."""
        head = self._results.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        data = self._results.read(length)
        return data if len(data) == length else None

    def end(self) -> None:
        """It is no longer needed. A closed pipe is not enough: children that are younger have it, too."""
        self._results.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _send_all(target: int, work: Callable[[T], bytes], things: Sequence[T]) -> None:
    """In the child, which ends with it."""
    try:
        with os.fdopen(target, "wb") as file:
            for thing in things:
                data = work(thing)
                file.write(_LENGTH.pack(len(data)) + data)
                file.flush()
    finally:
        os._exit(0)
