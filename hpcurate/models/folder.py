"""Weights from a folder that this machine sees: copied, so that what ran stays what it was, whatever becomes of it."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hpcurate.errors import ConfigError, StoreError
from hpcurate.models.listing import LocalFile, list_files, stamp
from hpcurate.models.offer import Echo, Offer, Progress
from hpcurate.models.origin import Folder
from hpcurate.models.registry import ModelEntry
from hpcurate.store.manifest import BLOCK, FileEntry, sha256_of
from hpcurate.units import plural

STREAMS = 4
"""Files that are copied at once."""


def look_up(entry: ModelEntry, version: str | None) -> Offer:
    """See `fetch.LOOK_UP`. What the folder holds now is all there is of it. Raises ConfigError."""
    files = _list(entry)
    if not files:
        raise ConfigError(f"model {entry.name}: path={entry.path}: no file there matches files={entry.files or ['*']}")
    total = sum(file.size for file in files)
    text = f"{plural(len(files), 'file')}, {total / 1e6:.1f} MB, of {entry.origin.text}"
    return Offer(None, total, text, functools.partial(_bring, entry, files, total), stamp(files))


def _list(entry: ModelEntry) -> list[LocalFile]:
    folder = _folder(entry)
    if os.path.isdir(os.path.join(folder, "snapshots")) and os.path.isdir(os.path.join(folder, "blobs")):
        raise ConfigError(
            f"model {entry.name}: path={entry.path}: a hub cache's folder; expected one of its snapshots/COMMIT"
        )
    try:
        return list_files(folder, entry.files)
    except OSError as error:
        raise ConfigError(
            f"model {entry.name}: path={entry.path}: expected a folder whose files can be read; "
            f"{error.filename or folder}: {error.strerror}"
        ) from None


def _folder(entry: ModelEntry) -> str:
    origin = entry.origin
    assert isinstance(origin, Folder)
    return origin.folder


def _bring(entry: ModelEntry, files: Sequence[LocalFile], total: int, part: str, echo: Echo) -> list[FileEntry]:
    progress = Progress(entry, total, echo)
    with ThreadPoolExecutor(STREAMS) as pool:
        try:
            done = list(pool.map(lambda file: _copy(entry, file, part, progress), files))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if _list(entry) != list(files):
        raise StoreError(
            f"model {entry.name}: {entry.path} changed while it was copied; type the same command again when "
            "nobody writes there"
        )
    return done


def _copy(entry: ModelEntry, file: LocalFile, part: str, progress: Progress) -> FileEntry:
    """A file that an earlier call copied has its time, which it gets last."""
    target = Path(part, file.path)
    with suppress(OSError):
        there = target.stat()
        if (there.st_size, there.st_mtime_ns) == (file.size, file.mtime_ns):
            return FileEntry(file.path, file.size, sha256_of(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    digest = hashlib.sha256()
    with open(os.path.join(_folder(entry), file.path), "rb") as source, open(target, "xb") as copy:
        while block := source.read(BLOCK):
            copy.write(block)
            digest.update(block)
            progress(len(block))
    os.utime(target, ns=(file.mtime_ns, file.mtime_ns))
    return FileEntry(file.path, file.size, digest.hexdigest())
