"""Whose failure an OSError is: the store's, which ends the attempt and blames no task, or the task's."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Optional

from hpcurate.errors import STORE_ERRNOS, StoreFailed
from hpcurate.store.files import REAL, Files
from hpcurate.store.trouble import TEST_BYTES, explain, room_of
from hpcurate.transient import links

_OF_RUST = re.compile(r"\(os error (\d+)\)")


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
    return StoreFailed(f"{what} {explain(OSError(error.errno, reason, path))}")


def blame_store(error: BaseException, directory: str, files: Files = REAL) -> Optional[StoreFailed]:
    """What user code raised, where it is the store's failure; None where it is the task's.

    A full disk is not always said to be one: a program that ffmpeg's caller ran ends with an exit status, a reader
    misses a file. So whatever was raised is believed to be the store's if a test write of ours fails, or if there is
    next to no room: others may have made some since. Asked before anything that the task wrote is removed, which would
    make room, too.
    """
    for link in links(error):
        if isinstance(link, StoreFailed):
            return link
    return (_no_room(error, directory) or _test_write(directory)) if files.are_real else None


def may_be_the_store(error: OSError) -> bool:
    """Also where a library saw a short write and has no number for it (numpy, Pillow)."""
    return error.errno in STORE_ERRNOS or (type(error) is OSError and error.errno is None)


def said_of_store(error: BaseException) -> Optional[OSError]:
    """Of an error while a file of the store was written: what the store answered, also in the words of Rust's library.

    None where no such answer is behind it.
    """
    for link in links(error):
        found = _OF_RUST.search(str(link))
        number = link.errno if isinstance(link, OSError) else int(found[1]) if found else None
        if number in STORE_ERRNOS:
            return OSError(number, os.strerror(number))
    return None


def _no_room(error: BaseException, directory: str) -> Optional[StoreFailed]:
    try:
        if not room_of(directory).short:
            return None
    except OSError as failed:
        return store_failed("a look at", directory, failed)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), directory)
    return store_failed(f"{type(error).__name__} ({error}), and there is next to no room:", directory, full)


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
