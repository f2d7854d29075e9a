"""Tars for tests, in every dialect."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from hpcurate import FileTask
from hpcurate.source import Files


def make_tar(
    path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT
) -> Path:
    """A tar of these files, in this order."""
    pairs = files.items() if isinstance(files, Mapping) else files
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def tar_task(path: Path) -> FileTask:
    """The task that a source makes of it."""
    [task] = Files(os.fspath(path)).tasks()
    assert isinstance(task, FileTask)
    return task
