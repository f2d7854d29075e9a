"""`<run>/gates/<stage>-<round>`: which job is the gate of a round."""

from __future__ import annotations

import os
import re

from hpcurate.runs.folder import Run
from hpcurate.store.filesystem import Filesystem

_NAME = re.compile(r"[a-z][a-z0-9_]*-\d{4,}")


class GateFiles:
    """The gates of one run."""

    def __init__(self, filesystem: Filesystem, run: Run) -> None:
        self._filesystem, self._folder = filesystem, os.path.join(run.path, "gates")

    def job(self, stage: str, number: int) -> str | None:
        """Job of the gate after a round; None where there is none."""
        name = _name(stage, number)
        return self._read(name) if name in self._filesystem.names(self._folder) else None

    def jobs(self) -> tuple[str, ...]:
        """Jobs of all gates there have been; what gates print lies in the same folder."""
        found = (self._read(name) for name in self._filesystem.names(self._folder) if _NAME.fullmatch(name))
        return tuple(job for job in found if job is not None)

    def record(self, stage: str, number: int, job: str) -> None:
        """Write down which job is the gate of a round."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._filesystem.replace(os.path.join(self._folder, _name(stage, number)), f"{job}\n".encode())

    def _read(self, name: str) -> str | None:
        try:
            text = self._filesystem.read(os.path.join(self._folder, name)).decode().strip()
        except (OSError, UnicodeDecodeError):
            return None
        return text or None


def _name(stage: str, number: int) -> str:
    return f"{stage}-{number:04d}"
