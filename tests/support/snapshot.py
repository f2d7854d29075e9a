"""Every file below a folder as it stands, to see afterwards that nothing was written."""

from __future__ import annotations

import os
from pathlib import Path

Snapshot = dict[str, tuple[int, int, int]]
"""Relative name → mode, size in bytes and modification time in nanoseconds."""


def snapshot(folder: Path, *, folders: bool = True) -> Snapshot:
    """All there is below; of folders, too, whose time changes with every name that comes and goes in them."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        if folders or path.is_symlink() or not path.is_dir():
            stat = os.lstat(path)
            found[str(path.relative_to(folder))] = stat.st_mode, stat.st_size, stat.st_mtime_ns
    return found


def difference(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """Name → `added`, `gone` or `changed`."""
    found = dict.fromkeys(after.keys() - before.keys(), "added") | dict.fromkeys(before.keys() - after.keys(), "gone")
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    return found | dict.fromkeys(changed, "changed")
