"""Files of a folder on this machine, links followed, and whether they have changed."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence

import msgspec

from hpcurate.store.manifest import MANIFEST


class LocalFile(msgspec.Struct, frozen=True):
    """A file as it is now."""

    path: str
    """Relative to the folder."""
    size: int
    mtime_ns: int


def is_wanted(path: str, patterns: Sequence[str]) -> bool:
    """Whether a file is one of those that the entry names. Pure."""
    return not patterns or any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def list_files(folder: str, patterns: Sequence[str]) -> list[LocalFile]:
    """The wanted files, sorted. A store's own list of files is none of them. Raises OSError, also for a broken link."""
    found = (file for file in _walk(folder, "", ()) if file.path != MANIFEST and is_wanted(file.path, patterns))
    return sorted(found, key=lambda file: file.path)


def stamp(files: Sequence[LocalFile]) -> str:
    """Another text once a file was written, added or removed. Pure."""
    lines = "".join(f"{file.size} {file.mtime_ns} {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _walk(folder: str, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[LocalFile]:
    """Files of a folder and below it, apart from hidden folders. A link that leads back up is not followed."""
    here = os.stat(folder)
    if (here.st_dev, here.st_ino) in above:
        return
    for name in sorted(os.listdir(folder)):
        path, relative = os.path.join(folder, name), os.path.join(below, name)
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            yield LocalFile(relative, found.st_size, found.st_mtime_ns)
        elif stat.S_ISDIR(found.st_mode) and not name.startswith("."):
            yield from _walk(path, relative, (*above, (here.st_dev, here.st_ino)))
