"""Walking folders in the order of full relative paths, without holding them all."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hpcurate.errors import ConfigError

Trail = tuple[str, ...]
"""Where the links lie that were followed on the way here: real paths of their folders."""


def walk_files(root: str, trail: Trail = ()) -> Iterator[os.DirEntry[str]]:
    """Files below a folder, sorted by path relative to it. Hidden ones are left out, links are followed.

    A folder sorts as its name and a slash: exactly where the paths below it belong.
    """
    for entry in listed(root):
        if is_folder(entry):
            below = follow(entry, trail)
            if below is not None:
                yield from walk_files(entry.path, below)
        elif is_file(entry):
            yield entry


def walk_folders(root: str, level: int, trail: Trail = ()) -> Iterator[os.DirEntry[str]]:
    """Folders `level` steps below a folder, sorted by path."""
    for entry in listed(root):
        below = follow(entry, trail) if is_folder(entry) else None
        if below is not None:
            if level == 1:
                yield entry
            else:
                yield from walk_folders(entry.path, level - 1, below)


def listed(folder: str) -> list[os.DirEntry[str]]:
    """Entries of one folder in walking order. Raises ConfigError naming a folder that cannot be read."""
    try:
        with os.scandir(folder) as entries:
            kept = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise ConfigError(f"input: cannot list {folder}: {error.strerror}") from None
    return sorted(kept, key=lambda entry: entry.name + "/" if is_folder(entry) else entry.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; not a link that leads round in a ring."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def follow(entry: os.DirEntry[str], trail: Trail) -> Trail | None:
    """The trail below a folder; None for a link to a folder that led here: followed, it would never end."""
    if not entry.is_symlink():
        return trail
    target = os.path.realpath(entry.path).rstrip("/") + "/"
    trail = (*trail, os.path.realpath(os.path.dirname(entry.path)))
    return None if any(f"{place}/".startswith(target) for place in trail) else trail
