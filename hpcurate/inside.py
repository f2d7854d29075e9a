"""Files that lie inside a larger one, such as the members of a tar: read where they are, without unpacking.

Where a task has a `path`, it may have the address of such a part instead:
`subfile,,start,1795393061800231106,start,512,end,2048,,:/data/x.tar`. That is FFmpeg's own form of it (its protocol
`subfile`), so what is printed can be given to `ffplay`. FFmpeg takes the last value of an option; the first `start` is
when the file was written, in nanoseconds: in a file that was written again, the same place has other bytes.

Runs in every stage environment: Python 3.9 or newer and the standard library only.
"""

from __future__ import annotations

import io
import os
import re
from typing import Any, BinaryIO, NamedTuple, Optional, cast

__all__ = ["HasChanged", "Inside", "file_of", "inside", "open_inside", "size_inside"]

_FORM = re.compile(r"subfile,,start,(-?[0-9]{1,19}),start,([0-9]{1,19}),end,([0-9]{1,19}),,:(/.*)", re.DOTALL)


class HasChanged(ValueError):
    """A file is not the one that a place in it was noted for; the message names it and says what to do."""


class Inside(NamedTuple):
    """Bytes of a file."""

    path: str
    """Absolute path of the file that has them."""
    start: int
    """The first of them, from 0."""
    end: int
    """Behind the last one."""
    mtime_ns: int
    """When the file was written that has these bytes at this place, in nanoseconds."""

    def __str__(self) -> str:
        """The address: what a task's `path` may be."""
        return f"subfile,,start,{self.mtime_ns},start,{self.start},end,{self.end},,:{self.path}"

    def check(self, status: os.stat_result) -> None:
        """Raise HasChanged if this is what the file looks like, and it is another one."""
        if status.st_mtime_ns != self.mtime_ns:
            raise HasChanged(
                f"{self.path}: was written again since its contents were listed; type the command with changed=redo"
            )


def inside(path: str) -> Optional[Inside]:
    """What an address stands for; None for the path of a file. Pure."""
    found = _FORM.fullmatch(path)
    return Inside(found[4], int(found[2]), int(found[3]), int(found[1])) if found else None


def file_of(path: str) -> str:
    """The file on disk: the path itself, or the file that an address lies in. Pure."""
    found = inside(path)
    return found.path if found else path


def size_inside(path: str) -> int:
    """Bytes of a file, or those of an address that are there. Raises OSError, HasChanged."""
    found, status = inside(path), os.stat(file_of(path))
    return status.st_size if found is None else _size(found, status)


def _size(part: Inside, status: os.stat_result) -> int:
    part.check(status)
    return max(0, min(part.end, status.st_size) - part.start)


def open_inside(path: str) -> BinaryIO:
    """A file, or the part that an address stands for, open for reading from its beginning.

    Raises OSError, HasChanged.
    """
    found = inside(path)
    if found is None:
        return open(path, "rb")
    return cast(BinaryIO, io.BufferedReader(_Part(found)))


class _Part(io.RawIOBase):
    """A part of a file as a file of its own; it ends where the file that has it does, if that is shorter."""

    def __init__(self, part: Inside) -> None:
        super().__init__()
        self._file = open(part.path, "rb", buffering=0)  # noqa: SIM115 - closed with the part
        self._start, self._at = part.start, 0
        try:
            self._size = _size(part, os.fstat(self._file.fileno()))
        except HasChanged:
            self._file.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a part of a file has no descriptor of its own")

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"a place before the beginning: {at}")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer)[: max(0, self._size - self._at)]
        if not len(wanted):
            return 0
        self._file.seek(self._start + self._at)
        count = self._file.readinto(wanted) or 0
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
