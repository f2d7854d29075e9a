"""Copying a folder of large files: several at once, each hashed as it passes, resumed file by file.

`.journal` in the unfinished folder names the files that arrived whole; anything else there is copied again.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Optional

import attrs

JOURNAL = ".journal"
BLOCK = 8 * 2**20
"""Bytes of one read: large enough for a shared file system, small enough to pass through the cache."""
AHEAD = 4
"""Blocks that may wait to be hashed."""
STREAMS = 4
"""Files that are copied at once."""


class CopyFault(OSError):
    """The source is not what its manifest says."""


class Stopped(Exception):
    """The worker was told to leave."""


@attrs.define(frozen=True)
class FileEntry:
    """One file as the manifest has it."""

    path: str
    size: int
    sha256: str


def copy_files(
    source: str, target: str, files: Sequence[FileEntry], stop: Callable[[], bool] = lambda: False
) -> tuple[int, int]:
    """Copy what is missing in `target`; (files, bytes) that this call copied. Raises CopyFault, Stopped, OSError."""
    os.makedirs(target, mode=0o700, exist_ok=True)
    there = _arrived(target)
    missing = [f for f in files if f.path not in there]
    with ThreadPoolExecutor(STREAMS) as pool:
        waiting = [pool.submit(_copy_one, source, target, f, stop) for f in sorted(missing, key=lambda f: -f.size)]
        for future in waiting:
            future.result()
    return len(missing), sum(f.size for f in missing)


def _arrived(target: str) -> set[str]:
    try:
        with open(os.path.join(target, JOURNAL), encoding="utf-8", errors="surrogateescape") as journal:
            return {line[:-1] for line in journal if line.endswith("\n")}
    except FileNotFoundError:
        return set()


def _copy_one(source: str, target: str, file: FileEntry, stop: Callable[[], bool]) -> None:
    path = os.path.join(target, file.path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digest, size = _copy_bytes(os.path.join(source, file.path), path, stop)
    if size != file.size or digest != file.sha256:
        raise CopyFault(f"{os.path.join(source, file.path)}: {size} of {file.size} bytes, or another digest")
    line = f"{file.path}\n".encode("utf-8", "surrogateescape")
    descriptor = os.open(os.path.join(target, JOURNAL), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _copy_bytes(source: str, target: str, stop: Callable[[], bool]) -> tuple[str, int]:
    """(SHA-256, bytes). Hashing runs beside reading and writing: hashlib leaves the interpreter free meanwhile."""
    hasher = _Hasher()
    size = 0
    with open(source, "rb", buffering=0) as given, open(target, "wb", buffering=0) as made:
        while True:
            if stop():
                hasher.digest()
                raise Stopped
            block = given.read(BLOCK)
            if not block:
                break
            hasher.add(block)
            _write_all(made.fileno(), block)
            size += len(block)
        os.fsync(made.fileno())
    return hasher.digest(), size


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


class _Hasher:
    """SHA-256 in a thread of its own."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[Optional[bytes]] = queue.Queue(AHEAD)
        self._sha = hashlib.sha256()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, block: bytes) -> None:
        self._blocks.put(block)

    def digest(self) -> str:
        self._blocks.put(None)
        self._thread.join()
        return self._sha.hexdigest()

    def _work(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._sha.update(block)
