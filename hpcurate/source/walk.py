"""Walking folders in the order of full relative paths, without holding them all."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hpcurate.errors import ConfigError


def walk_files(root: str) -> Iterator[os.DirEntry[str]]:
    """Files below a folder, sorted by path relative to it. Hidden ones are left out, links are followed.

    A folder sorts as its name and a slash: exactly where the paths below it belong.
    """
    for entry in listed(root):
        if is_folder(entry):
            if not _leads_back(entry.path):
                yield from walk_files(entry.path)
        elif _is_file(entry):
            yield entry


def walk_folders(root: str, level: int) -> Iterator[os.DirEntry[str]]:
    """Folders `level` steps below a folder, sorted by path."""
    for entry in listed(root):
        if is_folder(entry) and not _leads_back(entry.path):
            if level == 1:
                yield entry
            else:
                yield from walk_folders(entry.path, level - 1)


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


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _leads_back(path: str) -> bool:
    """Whether a link names a folder that it lies in: followed, it would never end."""
    if not os.path.islink(path):
        return False
    return f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{os.path.realpath(path).rstrip('/')}/")
