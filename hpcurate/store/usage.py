"""What folders take up on disk, counted as `du` counts: allocated blocks, inodes, each hard-linked file once."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import attrs

__all__ = ["Meter", "Usage"]

BLOCK = 512
"""Bytes of one of `st_blocks`, whatever the filesystem."""
THREADS = 16
"""Folders that are read at once: nearly all of the time is waiting for the storage."""
AT_ONCE = 64
"""So many folders are opened before those below them: the list of what is yet to be read stays short."""
_FILES = re.compile(r"/shards/[^/]+/[^/]+/files/")
"""In the path of what a shard has beside its rows."""


@attrs.define(kw_only=True)
class Usage:
    """What something takes up."""

    bytes: int = 0
    """On disk."""
    inodes: int = 0
    """Files, folders and links."""
    files: int = 0
    """Bytes of what is in `files/` of shards."""
    unread: int = 0
    """Folders that this user may not read: what is in them is not counted."""

    def add(self, other: Usage) -> None:
        """Count what another has, too."""
        for field in attrs.fields(Usage):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@attrs.define
class _Read:
    """One folder that was read."""

    usage: Usage = attrs.field(factory=Usage)
    """Of what is in it, but for the files with several names."""
    folders: list[str] = attrs.field(factory=list)
    linked: list[tuple[os.stat_result, bool]] = attrs.field(factory=list)
    """Files with several names, and whether they are of a shard."""


class Meter:
    """Measures one place after the other. A file with several names counts where it is met first."""

    def __init__(self) -> None:
        self._linked: dict[tuple[int, int], tuple[int, int]] = {}
        """File (device, inode) with names that were not met → how many they are, and its bytes."""

    @property
    def elsewhere(self) -> int:
        """Bytes of files that have a name outside of what was measured: they stay if all of this goes."""
        return sum(size for _, size in self._linked.values())

    def measure(self, path: str, *, below: bool = True) -> Usage:
        """What is at a path, and below it; nothing where it is gone."""
        total = Usage()
        try:
            found = os.lstat(path)
        except OSError:
            return total
        folders = [path] if below and stat.S_ISDIR(found.st_mode) else []
        self._add(total, found, of_shard=False)
        with ThreadPoolExecutor(THREADS) as pool:
            while folders:
                batch, folders = folders[-AT_ONCE:], folders[:-AT_ONCE]
                for read in pool.map(_read, batch):
                    total.add(read.usage)
                    folders += read.folders
                    for file, of_shard in read.linked:
                        self._add(total, file, of_shard=of_shard)
        return total

    def _add(self, total: Usage, found: os.stat_result, *, of_shard: bool) -> None:
        if found.st_nlink < 2 or stat.S_ISDIR(found.st_mode):
            _count(total, found, of_shard=of_shard)
            return
        key = found.st_dev, found.st_ino
        if key not in self._linked:
            _count(total, found, of_shard=of_shard)
        left, size = self._linked.pop(key, (found.st_nlink, found.st_blocks * BLOCK))
        if left > 1:
            self._linked[key] = left - 1, size


def _count(total: Usage, found: os.stat_result, *, of_shard: bool) -> None:
    size = found.st_blocks * BLOCK
    total.add(Usage(bytes=size, inodes=1, files=size if of_shard else 0))


def _read(folder: str) -> _Read:
    """One folder, without what is below it."""
    read, of_shard = _Read(), _FILES.search(f"{folder}/") is not None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                _look(entry, read, of_shard=of_shard)
    except PermissionError:
        read.usage.unread += 1
    except (FileNotFoundError, NotADirectoryError):
        pass  # gone meanwhile
    return read


def _look(entry: os.DirEntry[str], read: _Read, *, of_shard: bool) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        read.folders.append(entry.path)
    elif found.st_nlink > 1:
        read.linked.append((found, of_shard))
        return
    _count(read.usage, found, of_shard=of_shard or _FILES.search(f"{entry.path}/") is not None)
