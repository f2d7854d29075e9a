"""An archive, unpacked below the store's trash as a small store of its own: what is looked at before anything is seen.

Killed, it stays there until `hpcurate clean`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hpcurate.carry.archive import Checked, unpack
from hpcurate.carry.index import Entry
from hpcurate.carry.paths import Paths
from hpcurate.errors import StoreError
from hpcurate.source.taken import SEEN
from hpcurate.store.access import settle
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import StageFolder, Store
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import nonce
from hpcurate.units import bytes_text

__all__ = ["OUTPUT", "RUN", "shards_of", "unpacked", "with_new_paths"]

RUN, OUTPUT = "run", "output"
"""Folders of such a store, beside `stages/`."""
_MTIME = re.compile(rb'"mtime_ns":\d+')


@contextmanager
def unpacked(archive: Checked, store: Store) -> Iterator[Store]:
    """The archive's stages, lists and shards as a store, and beside them the run and its output; removed in the end."""
    _check_room(archive, store)
    POSIX.make_folders(store.trash)
    root = os.path.join(store.trash, f"import.{nonce()}")
    os.mkdir(root)
    try:
        unpack(archive, root, {entry.path: _place(entry) for entry in archive.index.entries})
        settle(root)
        failpoint("import.unpacked")
        yield Store(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _check_room(archive: Checked, store: Store) -> None:
    """Before anything is written: what is there may be wanted by others. Raises StoreError."""
    found = os.statvfs(store.root)
    free, needed = found.f_bavail * found.f_frsize, archive.index.size
    if needed > free:
        raise StoreError(
            f"{archive.path}: needs {bytes_text(needed)}, and {store.root} has {bytes_text(free)}; nothing was imported"
        )


def _place(entry: Entry) -> str:
    """Where a file of an archive is in the small store: shards are in their fan-out folders. Pure."""
    parts = entry.path.split("/")
    if parts[0] == "stages" and parts[2] == "shards":
        return "/".join([StageFolder("/".join(parts[:2])).shard(parts[3]), *parts[4:]])
    return entry.path


def shards_of(folder: StageFolder) -> Iterator[str]:
    """Shards of a stage of the small store, in order."""
    for fan in sorted(POSIX.names(f"{folder.path}/shards")):
        yield from sorted(POSIX.names(folder.shards(fan)))


# -- items that are elsewhere -------------------------------------------------------------------------


def with_new_paths(source: StageFolder, paths: Paths) -> None:
    """Let the rows of a source say where its items are here.

    A copy has other times: of a file that is there with the size that it had, the time is that of the copy. Of a group
    or a folder nothing is compared but its name.
    """
    for shard in shards_of(source) if paths.pairs else ():
        folder = source.shard(shard)
        rows, seen = os.path.join(folder, "tasks.jsonl"), os.path.join(folder, SEEN)
        data = paths.rows(POSIX.read(rows))
        data = b"".join(_with_time(line, paths) for line in data.splitlines(keepends=True))
        POSIX.replace(rows, data)
        with suppress(FileNotFoundError):
            os.unlink(seen)
        _set_size(os.path.join(folder, "stats.json"), len(data))


def _set_size(stats: str, size: int) -> None:
    plain = json.loads(POSIX.read(stats))
    plain["files"]["tasks.jsonl"] = size
    plain["files"].pop(SEEN, None)
    POSIX.replace(stats, json.dumps(plain, indent=1).encode() + b"\n")


def _with_time(line: bytes, paths: Paths) -> bytes:
    row: dict[str, Any] = json.loads(line)
    path, size = row.get("path"), row.get("size")
    if not isinstance(path, str) or "mtime_ns" not in row or not paths.below(path):
        return line
    with suppress(OSError, ValueError):
        status = os.stat(path)
        if status.st_size == size:
            return _MTIME.sub(b'"mtime_ns":%d' % status.st_mtime_ns, line, count=1)
    return line


def files_below(folder: str) -> Iterable[str]:
    """Paths of all files below a folder, relative to it, in order."""
    return sorted(POSIX.sizes(folder)) if os.path.isdir(folder) else ()
