"""`<run>/gates/<stage>-<round>`: which job is the gate of a round."""

from __future__ import annotations

import os
import re

from hpcurate.runs.folder import Run
from hpcurate.store.filesystem import Filesystem

FORM = 2
"""Of what a gate reads (`pipeline.json`), raised when that changes: a gate runs the code of the call that queued it,
and one that was queued before such a change cannot read what a later call freezes."""
_NAME = re.compile(r"[a-z][a-z0-9_]*-\d{4,}")


class GateFiles:
    """The gates of one run."""

    def __init__(self, filesystem: Filesystem, run: Run) -> None:
        self._filesystem, self._folder = filesystem, os.path.join(run.path, "gates")

    def job(self, stage: str, number: int) -> str | None:
        """Job of the gate after a round; None where there is none that reads what we write."""
        job, form = self._read(_name(stage, number))  # opened: a listing may be older
        return job if job and form == str(FORM) else None

    def jobs(self) -> tuple[str, ...]:
        """Jobs of all gates there have been; what gates print lies in the same folder."""
        found = (self._read(name) for name in self._filesystem.names(self._folder) if _NAME.fullmatch(name))
        return tuple(job for job, _ in found if job)

    def record(self, stage: str, number: int, job: str) -> None:
        """Write down which job is the gate of a round."""
        self._filesystem.make_folders(self._folder, mode=0o700)
        self._filesystem.replace(os.path.join(self._folder, _name(stage, number)), f"{job}\n{FORM}\n".encode())

    def _read(self, name: str) -> tuple[str, str]:
        """(job, form); empty where that was not written. Raises OSError."""
        try:
            job, _, form = self._filesystem.read(os.path.join(self._folder, name)).decode().partition("\n")
        except (FileNotFoundError, UnicodeDecodeError):
            return "", ""
        return job.strip(), form.strip()


def _name(stage: str, number: int) -> str:
    return f"{stage}-{number:04d}"
