"""Exclusive locks of a supervisor on files of the node's own disk, with filelock.

`preserve_lock_file`: the file stays when a lock is released, and filelock never falls back to a lock that is only a
file. So a stage process, which has no filelock, can take the same lock with `fcntl.flock` (see `once.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from hpcurate.node.copying import Stopped
from hpcurate.node.items import POLL_S, WAIT_S


@contextmanager
def exclusive(path: str, stop: Callable[[], bool], waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock. `waiting` is called once if another process has it; raises Stopped, or OSError after WAIT_S."""
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        _wait(lock, stop)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def try_exclusive(path: str) -> Iterator[bool]:
    """Hold a lock if nobody else does; whether this is so."""
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock(path: str) -> FileLock:
    return FileLock(path, mode=0o600, preserve_lock_file=True)


def _wait(lock: FileLock, stop: Callable[[], bool]) -> None:
    try:
        lock.acquire(timeout=WAIT_S, poll_interval=POLL_S, cancel_check=stop)
    except Timeout:
        if stop():
            raise Stopped from None
        raise OSError(f"{lock.lock_file}: another process has held it for {WAIT_S:.0f} s") from None
