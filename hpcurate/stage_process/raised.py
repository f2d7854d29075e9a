"""What a stage may raise that is its own failure, and how a dead letter shows it. Python 3.9."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Collection
from typing import Optional

from hpcurate.errors import ProgramFailed, ProgramKilled, SetupLost
from hpcurate.failures import TRACE
from hpcurate.masks import mask
from hpcurate.stage_process.store_errors import may_be_the_store
from hpcurate.transient import TRANSIENT, class_names, links, named, transient

RAISED = (Exception, SystemExit)
"""What a stage may raise that is its own failure: a program's main function often ends with `sys.exit`."""


MEMORY = "memory"
"""Marks what was raised for want of main memory, among the names of an error."""
_TORCH = "DefaultCPUAllocator: "
"""Torch's allocator of main memory, which raises RuntimeError."""


def trace_of(error: BaseException) -> str:
    """The end of an exception's own traceback."""
    return mask("".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False)))[-TRACE:]


class Raised(Exception):
    """What a stage raised, in words: not every exception can be sent, and each refers to all that was in work."""

    def __init__(
        self, kind: str, message: str, trace: str, errnos: tuple[Optional[int], ...] = (), names: Collection[str] = ()
    ) -> None:
        super().__init__(kind, message, trace, errnos, names)
        self.kind, self.message, self.trace, self.names = kind, message, trace, names
        if errnos:  # the store may be to blame, see store_errors
            self.__cause__ = OSError(errnos[0], message) if errnos[0] else OSError(message)

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """In words."""
        numbers = tuple(link.errno for link in links(error) if isinstance(link, OSError) and may_be_the_store(link))
        return cls(type(error).__name__, str(error), trace_of(error), numbers, names_of(error))


def described(error: BaseException) -> tuple[str, str, str]:
    """(type, message, traceback), as a dead letter has them."""
    if isinstance(error, Raised):
        return error.kind, error.message, error.trace
    if isinstance(error, (ProgramFailed, ProgramKilled)):  # where in our code it was raised says nothing
        return type(error).__name__, str(error), mask(error.details)
    return type(error).__name__, str(error), trace_of(error)


def names_of(error: BaseException) -> frozenset[str]:
    """What `retry_on` may call the error: the classes of it and of what is behind it, MEMORY, TRANSIENT."""
    if isinstance(error, Raised):
        return frozenset(error.names)
    marks = {MEMORY} if out_of_memory(error) else {TRANSIENT} if transient(error) else set()
    return frozenset(marks.union(*(class_names(link) for link in links(error))))


def setup_lost(error: BaseException) -> Optional[SetupLost]:
    """What to raise where the error, or one behind it, says that the stage's set-up holds no longer; else None."""
    if isinstance(error, Raised):
        return SetupLost(error.message) if named("hpcurate.errors.SetupLost", error.names) else None
    return next((link for link in links(error) if isinstance(link, SetupLost)), None)


def killed(error: BaseException) -> Optional[ProgramKilled]:
    """The error, or the one behind it, that says that a signal ended a program of the stage; else None."""
    return next((link for link in links(error) if isinstance(link, ProgramKilled)), None)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error, or one behind it, says that there is not enough main memory."""
    if isinstance(error, Raised):
        return MEMORY in error.names
    return any(_is_memory(link) for link in links(error))


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _TORCH in str(error))
