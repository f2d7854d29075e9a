"""What a stage may raise that is its own failure, and how a dead letter shows it. Python 3.9."""

from __future__ import annotations

import traceback
from typing import Optional

from hpcurate.failures import TRACE
from hpcurate.masks import mask
from hpcurate.stage_process.store_errors import links, may_be_the_store

RAISED = (Exception, SystemExit)
"""What a stage may raise that is its own failure: a program's main function often ends with `sys.exit`."""


def trace_of(error: BaseException) -> str:
    """The end of an exception's own traceback."""
    return mask("".join(traceback.format_exception(type(error), error, error.__traceback__, chain=False)))[-TRACE:]


class RaisedElsewhere(Exception):
    """What `prepare` raised in a process of its own, in words: not every exception can be sent."""

    def __init__(self, kind: str, message: str, trace: str, errnos: tuple[Optional[int], ...] = ()) -> None:
        super().__init__(kind, message, trace, errnos)
        self.kind, self.message, self.trace = kind, message, trace
        if errnos:  # the store may be to blame, see store_errors
            self.__cause__ = OSError(errnos[0], message) if errnos[0] else OSError(message)

    @classmethod
    def of(cls, error: BaseException) -> RaisedElsewhere:
        """In words."""
        numbers = tuple(link.errno for link in links(error) if isinstance(link, OSError) and may_be_the_store(link))
        return cls(type(error).__name__, str(error), trace_of(error), numbers)


def described(error: BaseException) -> tuple[str, str, str]:
    """(type, message, traceback), as a dead letter has them."""
    if isinstance(error, RaisedElsewhere):
        return error.kind, error.message, error.trace
    return type(error).__name__, str(error), trace_of(error)
