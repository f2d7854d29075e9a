"""What a stage may use while one batch is processed: children, drops, files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection
from typing import Optional
from urllib.parse import quote

from hpcurate.errors import StageError
from hpcurate.stage_process.lineage import Drop
from hpcurate.stage_process.messages import ShardJob
from hpcurate.task import File, Task, stable_id


class BatchScope:
    """Gives one stage the means to make children, drop tasks and write files, for one batch."""

    def __init__(self, stage: str, job: ShardJob, kept: Collection[str] = ()) -> None:
        self.stage = stage
        self._kept = kept
        self.drops: list[Drop] = []
        self.owners: set[str] = set()
        self._job = job
        self._ordinals: dict[str, int] = {}

    def child_id(self, parent: Task, wanted: Optional[str]) -> str:
        """See `Scope`."""
        ordinal = self._ordinals[parent.id] = self._ordinals.get(parent.id, -1) + 1
        if wanted is None:
            return stable_id(parent.id, self.stage, ordinal)
        if _is_random(wanted):
            raise StageError(f"{self.stage}: id {wanted!r} is random; derive ids from the data, or leave them out")
        return wanted

    def drop(self, task: Task, reason: str) -> None:
        """See `Scope`."""
        self.drops.append(Drop(task, str(reason), self.stage))

    def file(self, task: Task, name: str) -> File:
        """See `Scope`."""
        parts = name.split("/")
        if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise StageError(f"{self.stage}: {name!r} is not a relative file name")
        if task.id in self._kept:
            raise StageError(f"{self.stage}: an earlier task of this shard has the id {task.id!r}, and files under it")
        owner = files_folder(task.id)
        self.owners.add(task.id)
        path = os.path.join(self._job.directory, "files", owner, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return File(f"{self._job.ref}/files/{owner}/{name}", path)


def files_folder(task_id: str) -> str:
    """Folder name of a task's files: its id, with what a file name cannot hold escaped."""
    name = quote(task_id.encode("utf-8", "surrogateescape"), safe="+,=@ ")
    if name in (".", "..") or len(name) > 200:
        return stable_id(task_id)
    return name


def _is_random(task_id: str) -> bool:
    try:
        return uuid.UUID(task_id).version in (1, 4, 7)
    except ValueError:
        return False
