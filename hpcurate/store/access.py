"""Who may read and write what we make: its owner alone, or a group.

A folder that its group may write, and that has the setgid bit, is a group's: what is made in it is the group's, too.
Everything else is its owner's. Modes are set, whatever the umask: so nobody who makes something has to know in which
store it is, and nothing outside of a store is ever opened to a group. Python 3.9.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

OWNER, GROUP = 0o700, 0o2770
"""Modes of folders."""
CLOSED = 0o077
"""The umask under which we, the stages and the libraries make files."""
READABLE = 0o444
"""A finished file has so much of its folder's mode: nobody writes it again."""


def keep_private() -> None:
    """From now on what this process and its children make is their owner's."""
    os.umask(CLOSED)


@contextmanager
def private_files() -> Iterator[None]:
    """The same, for a while: the process is a user's own, who called us."""
    before = os.umask(CLOSED)
    try:
        yield
    finally:
        os.umask(before)


def is_groups(folder: str) -> bool:
    """Whether a folder is a group's."""
    mode = os.stat(folder or ".").st_mode
    return bool(mode & stat.S_ISGID) and mode & stat.S_IRWXG == stat.S_IRWXG


@lru_cache(maxsize=1024)
def _shares(folder: str) -> bool:
    """Whether what is made in a folder of a store is its group's: asked once, as it stays what it was made."""
    return is_groups(folder)


def as_its_folder(path: str, descriptor: int) -> None:
    """A file that was just made, and is open, becomes the group's that has its folder."""
    if _shares(os.path.dirname(path)):
        os.fchmod(descriptor, 0o660)


def new_file(path: str, flags: int) -> int:
    """Open a file that nobody writes again, for `open`: read-only from the start. One of an earlier try is replaced."""
    try:
        return os.open(path, flags | os.O_EXCL, OWNER & READABLE)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags | os.O_EXCL, OWNER & READABLE)


def make_folder(path: str) -> None:
    """One folder. Raises OSError, FileExistsError too."""
    os.mkdir(path, OWNER)
    if _shares(os.path.dirname(path)):
        os.chmod(path, GROUP)


def make_folders(path: str) -> None:
    """A folder, and those above it that are missing."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    if above and above != path:
        make_folders(above)
    try:
        make_folder(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def settle(path: str) -> None:
    """What others' code has made below a path becomes as private, or as much the group's, as the folder it is in.

    The group may not change the files: they may have another name in somebody's cache. Programs stay programs.
    """
    groups = is_groups(os.path.dirname(path))
    for base, _, names in os.walk(path):
        _settle(base, groups, folder=True)
        for name in names:
            _settle(os.path.join(base, name), groups, folder=False)


def _settle(path: str, groups: bool, *, folder: bool) -> None:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return
    mine = stat.S_IMODE(mode) & stat.S_IRWXU
    wanted = (GROUP if groups else OWNER) if folder else mine | (mine >> 3 & 0o050 if groups else 0)
    if wanted != stat.S_IMODE(mode):
        with suppress(PermissionError):  # another user's, who has settled it
            os.chmod(path, wanted)
