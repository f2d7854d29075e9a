"""A store that fails, in words: the path, what is wrong with it, the numbers, and what to type. Python 3.9.

Which errors are a store's stands in `errors.STORE_ERRNOS`. Nothing here decides anything; a filesystem that does not
answer these questions either leaves the numbers out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Optional

import msgspec

from hpcurate.errors import FULL_ERRNOS, KEY_ERRNOS, STORE_ERRNOS

__all__ = ["AGAIN", "MAKE_ROOM", "Room", "amount", "explain", "in_words", "room_of", "standing_trouble"]

MAKE_ROOM = "make room"
"""Where something can be done about it here."""
AGAIN = "then type the run's command again"
SHORT_OF_ALL, SHORT_BYTES = 50, 256 << 20
"""A filesystem with less than a fiftieth of it free, and less than so many bytes, is nearly full."""
SHORT_FILES = 16


class Room(msgspec.Struct, frozen=True):
    """What a filesystem says of itself."""

    free_bytes: int
    total_bytes: int
    free_files: int = 0
    total_files: int = 0
    """0: it does not count them."""
    read_only: bool = False

    @property
    def no_files(self) -> bool:
        """Whether inodes are what it is out of."""
        return self.total_files > 0 and self.free_files < SHORT_FILES

    @property
    def short(self) -> bool:
        """Whether it is so full that whatever fails there may have failed for that."""
        return self.no_files or self.free_bytes < min(SHORT_BYTES, self.total_bytes // SHORT_OF_ALL)


def room_of(path: str) -> Room:
    """Of the filesystem that has this path. Raises OSError."""
    s = os.statvfs(path)
    size, read_only = s.f_frsize, bool(s.f_flag & os.ST_RDONLY)
    return Room(s.f_bavail * size, s.f_blocks * size, s.f_favail, s.f_files, read_only)


def explain(error: OSError, root: str = "") -> str:
    """Why something at or below `root` could not be read or written: what to make room in, and by how much."""
    named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else root
    if not named:
        return f"{error}; {AGAIN}"
    below = root and (named == root or named.startswith(root.rstrip("/") + "/"))
    path = root if below and error.errno not in (errno.EACCES, errno.EPERM) else named
    return in_words(path, error.errno or 0, error.strerror or str(error), _room(path), _owner(path))


def in_words(path: str, number: int, reason: str, room: Optional[Room] = None, owner: str = "") -> str:
    """The same from what is known. Pure."""
    said = f"{path}: {reason or os.strerror(number)}"
    if number in FULL_ERRNOS:
        return f"{said}{_full(path, number, room)}, {AGAIN}"
    if number in (errno.EACCES, errno.EPERM):
        return f"{said}{f' ({owner})' if owner else ''}; give the permission back, {AGAIN}"
    if number in KEY_ERRNOS:
        return f"{said}; renew your credentials (kinit, or log in again), {AGAIN}"
    if number == errno.EROFS:
        return f"{said}; have it mounted for writing again, {AGAIN}"
    if number in STORE_ERRNOS:
        return f"{said}; see that it is mounted and its server answers, {AGAIN}"
    return f"{said}; look at it, {AGAIN}"


def _full(path: str, number: int, room: Optional[Room]) -> str:
    quota = f"`quota -s`, or `lfs quota -h {path}` on Lustre, shows your quota"
    if number == errno.EDQUOT:
        return f"; {quota}; {MAKE_ROOM} or ask for more"
    if room is None:
        return f"; {MAKE_ROOM}"
    if room.no_files:
        return f", {room.free_files} of {room.total_files} files (inodes) free; {MAKE_ROOM}: remove files"
    numbers = f", {amount(room.free_bytes, room.total_bytes)} free"
    return f"{numbers}; {MAKE_ROOM}" if room.short else f"{numbers}; {quota}; {MAKE_ROOM}"


def amount(part: int, total: int) -> str:
    """`0.0 of 512.0 MB`: both in the unit of the larger. Pure."""
    unit, size = next((u, s) for u, s in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20)) if total >= s or u == "MB")
    return f"{part / size:.1f} of {total / size:.1f} {unit}"


def standing_trouble(root: str) -> str:
    """What can be seen of a store that nobody could write to, without writing; empty where nothing is seen.

    A quota is not seen so. Raises nothing.
    """
    try:
        os.stat(os.path.join(root, "format.json"))
        room = room_of(root)
    except FileNotFoundError:
        return in_words(root, errno.ENODEV, NOT_THERE)
    except OSError as error:
        return explain(error, root)
    if room.read_only:
        return in_words(root, errno.EROFS, os.strerror(errno.EROFS))
    if room.no_files or room.free_bytes < TEST_BYTES:
        return in_words(root, errno.ENOSPC, os.strerror(errno.ENOSPC), room)
    return ""


TEST_BYTES = 1 << 20
"""Of a test write: a full disk still takes a few bytes."""
NOT_THERE = "no store is there, its format.json is missing: is it mounted?"


def _room(path: str) -> Optional[Room]:
    for there in _upwards(path):
        with suppress(OSError, ValueError):
            return room_of(there)
    return None


def _owner(path: str) -> str:
    """Whose it is, or the first folder above it that can be looked at, and who asks."""
    for there in _upwards(path):
        with suppress(OSError, ValueError):
            found = os.stat(there)
            return f"{there} is {stat.filemode(found.st_mode)} of user {found.st_uid}, and we are user {os.geteuid()}"
    return ""


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = os.path.dirname(path) if os.path.dirname(path) != path else ""
