"""Unpacking a packed environment: one sequential read of shared storage instead of 20 000 small files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Callable
from typing import Any

from hpcurate.node.copying import BLOCK, Stopped
from hpcurate.store.manifest import CopyFault, FileEntry
from hpcurate.system.programs import bare, output_tail

PIECE = 64 * 1024
"""Bytes handed to tarfile at once: at each of its reads it copies the rest of them."""


def unpack(source: str, target: str, archive: FileEntry, stop: Callable[[], bool] = lambda: False) -> None:
    """Extract the archive of the folder `source` into `target`, verify it, and adapt the prefix to its new path.

    conda-pack's own script rewrites the paths inside. Raises CopyFault, Stopped, OSError.
    """
    path = os.path.join(source, archive.path)
    with open(path, "rb", buffering=BLOCK) as file:
        reader = _Digested(file, stop)
        fileobj: Any = reader  # tarfile's types ask for more than it calls
        try:
            with tarfile.open(fileobj=fileobj, mode="r|", bufsize=PIECE) as tar:
                _extract(tar, target)
        except tarfile.TarError as error:
            raise CopyFault(f"{path}: {error}") from None
        while reader.read(PIECE):
            pass
    if (reader.size, reader.sha256) != (archive.size, archive.sha256):
        raise CopyFault(f"{path}: {reader.size} of {archive.size} bytes, or another digest")
    _relocate(target)
    os.sync()  # before it counts as done


def _extract(tar: tarfile.TarFile, target: str) -> None:
    if hasattr(tarfile, "tar_filter"):
        tar.extractall(target, filter="tar")
    else:  # a Python before the filters of PEP 706; the archive is our own
        tar.extractall(target)


def _relocate(prefix: str) -> None:
    script = os.path.join(prefix, "bin", "conda-unpack")
    command = [os.path.join(prefix, "bin", "python"), script]
    done = subprocess.run(command, env=bare(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CopyFault(f"{script} failed with exit status {done.returncode}: {output_tail(done.stderr)}")


class _Digested:
    """A file that is hashed as it is read."""

    def __init__(self, file: Any, stop: Callable[[], bool]) -> None:
        self._file, self._stop, self._sha = file, stop, hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._sha.hexdigest()

    def read(self, size: int) -> bytes:
        """The next bytes. Raises Stopped."""
        if self._stop():
            raise Stopped
        data: bytes = self._file.read(size)
        self._sha.update(data)
        self.size += len(data)
        return data
