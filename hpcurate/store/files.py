"""How what runs in a stage's environment opens the files of the store: the real way, if nobody says otherwise.

Rows are streamed, and many: this is not the `Filesystem` of the protocol, whose files are small. Python 3.9.
"""

from __future__ import annotations

import errno
import os
import re
from typing import BinaryIO, Callable

import msgspec

from hpcurate.ids import plain_bytes, stable_id
from hpcurate.store.access import as_its_folder, new_file

__all__ = ["REAL", "Files", "files_folder"]


AT_ONCE = 1 << 17
"""Bytes that are read in one call."""


def _open(path: str, mode: str) -> BinaryIO:
    opener = new_file if "w" in mode else None
    return open(path, mode, AT_ONCE if mode == "rb" else -1, opener=opener)  # type: ignore[return-value]  # whoever asked for it closes it


def _append(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        if not os.fstat(descriptor).st_size:
            as_its_folder(path, descriptor)
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Files(msgspec.Struct, frozen=True):
    """Ways to a file; each raises OSError."""

    open: Callable[[str, str], BinaryIO] = _open
    """To read ("rb"), or a new one to write ("wb"), which is read-only for everybody else."""
    size: Callable[[str], int] = os.path.getsize
    """In bytes, of a file that is closed."""
    append: Callable[[str, bytes], None] = _append
    """Add to the end, and make that durable."""
    are_real: bool = True
    """Whether they are of a filesystem, which can be asked for its room, and tried."""


REAL = Files()
PLAIN = re.compile(r"[A-Za-z0-9_.~+,=@ -]*")
"""Ids of which nothing has to be escaped in a file name, as most are."""


def _escaped(task_id: str) -> str:
    from urllib.parse import quote  # here: few ids need it

    return quote(plain_bytes(task_id), safe="+,=@ ")


def files_folder(task_id: str) -> str:
    """Folder name of a task's files, and of its checkpoint: its id, with what a file name cannot hold escaped."""
    name = task_id if PLAIN.fullmatch(task_id) else _escaped(task_id)
    if name in ("", ".", "..") or len(name) > 200:
        return stable_id(task_id)
    return name
