"""Every error hpcurate raises on purpose, in one tree.

A message names the thing, says what was expected, and what to type next. The command line prints a
`UserError` as one message and exits 2; anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""There is no room left, for anybody or for this user."""
KEY_ERRNOS = frozenset({errno.EKEYEXPIRED, errno.EKEYREJECTED, errno.EKEYREVOKED, errno.ENOKEY})
"""Credentials have run out (Kerberos, AFS)."""
_PERMISSION_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_AWAY_ERRNOS = frozenset(
    {
        errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.EUCLEAN, errno.ETIMEDOUT,
        errno.ENOTCONN, errno.ESHUTDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    }
)  # fmt: skip
LOCAL_ERRNOS = FULL_ERRNOS | KEY_ERRNOS | _PERMISSION_ERRNOS | {errno.EIO, errno.ESTALE, errno.ENODEV}
"""No network says these: they are of a file."""
STORE_ERRNOS = FULL_ERRNOS | KEY_ERRNOS | _PERMISSION_ERRNOS | _AWAY_ERRNOS
"""What a store that is full, over its quota, read-only, forbidden, broken or unmounted answers to anybody."""


class HpcurateError(Exception):
    """Base of all errors raised on purpose."""


class UserError(HpcurateError):
    """The user can fix this: a key, a path, a type, a site limit. Exit status 2, no traceback."""


class ConfigError(UserError):
    """A config key or value is wrong."""


class PipelineError(UserError):
    """Stages do not fit together, or a stage class breaks its contract."""


class StoreError(UserError):
    """What lies on shared storage is missing, unreadable, or of another format."""


class SavedError(UserError):
    """A value cannot be saved with a task, or what was saved cannot be read back as it was."""


class LauncherError(UserError):
    """The scheduler or the machine refused what the plan asks for."""


class SubmissionUnknown(LauncherError):
    """Nobody can say whether the scheduler took the job: it is looked for by name, never submitted again on a guess."""


class GateRefused(LauncherError):
    """The array is queued, its gate is not: the site's submit limit leaves no room."""


class RecordError(HpcurateError):
    """A task cannot be written as a row, or a row cannot be read as the declared type."""


class StageError(HpcurateError):
    """A stage broke its contract while it ran (wrong type returned, contradictory fate of a task …)."""


class StoreFailed(HpcurateError):
    """The engine's own reading or writing of the store failed while a shard was made: no task is to blame."""


class TryAgain(HpcurateError):
    """Raised by a stage for the trouble of a moment: worth another try, as the errors of a network are."""


class SetupLost(HpcurateError):
    """Raised by a stage where what `setup` made sure of holds no longer, such as a server that is gone.

    No task is to blame: the shard is handed back, and its worker leaves as it does where `setup` itself fails.
    """


class ProgramFailed(HpcurateError):
    """A program that a `Command` runs did not do its work; `details` are its command and the end of its output."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class ProgramNotFound(ProgramFailed):
    """There is no such program, or it may not be run."""


class OutputMissing(ProgramFailed):
    """The program ended well, and has not written an output that it was to write."""


class BadOutput(ProgramFailed):
    """The program ended well, and an output is nothing that a shard keeps: a link, a pipe, an empty folder."""


class BadValues(ProgramFailed):
    """The program ended well, and the values that it wrote are not those that were declared."""


class BadReturned(ProgramFailed):
    """The program ended well, and what it returned are no tasks."""


class StillWriting(ProgramFailed):
    """The program ended well, and left a process behind that still wrote an output."""


class ProgramKilled(HpcurateError):
    """A signal that we did not send ended a program: its stage process ends by the same one, and blames no task yet."""

    def __init__(self, number: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.number, self.details = number, details
