"""Whose failure an OSError is: the store's, which ends the attempt and blames no task, or the task's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Optional

from hpcurate.errors import STORE_ERRNOS, StoreFailed

TEST_BYTES = 1 << 20
"""Of a test write: a full disk still takes a few bytes."""


@contextmanager
def own_io(what: str, path: str) -> Iterator[None]:
    """The engine's own reading or writing: an OSError in here is the store's. Raises StoreFailed."""
    try:
        yield
    except OSError as error:
        raise store_failed(what, path, error) from error


def store_failed(what: str, path: str, error: OSError) -> StoreFailed:
    """What to raise instead of the error."""
    reason = error.strerror or str(error) or type(error).__name__
    return StoreFailed(f"{what} {path}: {reason}; look at its free space, quota and mount")


def blame_store(error: BaseException, directory: str) -> Optional[StoreFailed]:
    """What user code raised, where it is the store's failure; None where it is the task's.

    An error that a broken store may have caused is believed to be its own if a test write of ours fails, too. Asked
    before anything that the task wrote is removed: that would make room.
    """
    for link in links(error):
        if isinstance(link, StoreFailed):
            return link
        if isinstance(link, OSError) and may_be_the_store(link):
            return _test_write(directory)
    return None


def links(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    link: Optional[BaseException] = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def may_be_the_store(error: OSError) -> bool:
    """Also where a library saw a short write and has no number for it (numpy, Pillow)."""
    return error.errno in STORE_ERRNOS or (type(error) is OSError and error.errno is None)


def _test_write(directory: str) -> Optional[StoreFailed]:
    path = os.path.join(directory, ".test-write")
    try:
        with own_io("a test write to", path), open(path, "wb") as file:
            file.write(os.urandom(TEST_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except StoreFailed as failed:
        return failed
    finally:
        with suppress(OSError):
            os.unlink(path)
    return None
