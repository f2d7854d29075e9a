"""Copying a folder of large files: several at once, each hashed while it is copied, resumed file by file.

`.journal` in the unfinished folder names the files that are complete; anything else there is copied again.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hpcurate.store.manifest import CopyFault, FileEntry

JOURNAL = ".journal"
BLOCK = 8 * 2**20
"""Bytes of one read: large enough for a shared file system, small enough to pass through the cache."""
STREAMS = 4
"""Files that are copied at once."""


class Stopped(Exception):
    """The worker was asked to leave."""


class Differs(CopyFault):
    """What was copied is not what it should be."""


def copy_files(
    source: str, target: str, files: Sequence[FileEntry], stop: Callable[[], bool] = lambda: False
) -> tuple[int, int]:
    """Copy what is missing in `target`; (files, bytes) that this call copied. Raises CopyFault, Stopped, OSError."""
    os.makedirs(target, mode=0o700, exist_ok=True)
    there = _complete(target)
    missing = [f for f in files if f.path not in there]
    with ThreadPoolExecutor(STREAMS) as pool:
        waiting = [pool.submit(_copy_one, source, target, f, stop) for f in sorted(missing, key=lambda f: -f.size)]
        for future in waiting:
            future.result()
    return len(missing), sum(f.size for f in missing)


def _complete(target: str) -> set[str]:
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
        raise Differs(f"{os.path.join(source, file.path)}: {size} of {file.size} bytes, or another digest")
    line = f"{file.path}\n".encode("utf-8", "surrogateescape")
    descriptor = os.open(os.path.join(target, JOURNAL), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _copy_bytes(source: str, target: str, stop: Callable[[], bool]) -> tuple[str, int]:
    """(SHA-256, bytes) of what was written. The kernel copies; hashing runs beside it and reads the target back.

    Back from the page cache: nothing crosses the network twice, and what is verified is what lies here.
    """
    size = 0
    with open(source, "rb", buffering=0) as reader, open(target, "w+b", buffering=0) as writer:
        hasher = _Hasher(writer.fileno())
        try:
            while not stop():
                sent = os.sendfile(writer.fileno(), reader.fileno(), size, BLOCK)
                if not sent:
                    break
                size += sent
                hasher.ready(size)
            else:
                raise Stopped
            os.fsync(writer.fileno())
        finally:
            digest = hasher.finish(size)
    return digest, size


class _Hasher:
    """SHA-256 of a growing file, in a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sizes: queue.Queue[int | None] = queue.Queue()
        self._sha = hashlib.sha256()
        self._done = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def ready(self, size: int) -> None:
        """The file has this many bytes now."""
        self._sizes.put(size)

    def finish(self, size: int) -> str:
        """The digest of all of them."""
        self._sizes.put(size)
        self._sizes.put(None)
        self._thread.join()
        return self._sha.hexdigest()

    def _work(self) -> None:
        while (size := self._sizes.get()) is not None:
            while self._done < size:
                start = self._done - self._done % mmap.ALLOCATIONGRANULARITY
                end = min(size, start + BLOCK)
                with mmap.mmap(self._descriptor, end - start, access=mmap.ACCESS_READ, offset=start) as view:
                    self._sha.update(memoryview(view)[self._done - start :])
                self._done = end
