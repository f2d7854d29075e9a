"""Intake: what the source enumerates becomes committed shards and an immutable list.

A later scan adds a list with the new tasks alone. Files that changed or vanished are reported and keep
their place, so that nothing is silently mixed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence

import attrs

from hpcurate.records import codec
from hpcurate.source import Source
from hpcurate.store.commits import begin_attempt, commit
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, Store, shard_id
from hpcurate.store.lists import ShardLine, read_list, write_list
from hpcurate.task import FileTask, Task

SHARD_TASKS = 1000
"""Tasks in one shard of a source."""


@attrs.define(frozen=True, kw_only=True)
class Intake:
    """Result of a scan."""

    lists: tuple[str, ...]
    tasks: int
    """Tasks in all lists."""
    new: int
    changed: tuple[str, ...] = ()
    """Sources whose size or modification time differs from what was taken in."""
    vanished: tuple[str, ...] = ()
    """Sources taken in that are no longer there."""


def take_in(filesystem: Filesystem, store: Store, folder_name: str, source: Source, tasks: Sequence[Task]) -> Intake:
    """Write what is new among `tasks` as the next list of the source. Safe against a second caller."""
    folder = store.stage(folder_name)
    while True:
        lists = list_names(filesystem, folder)
        known = {task.id: task for name in lists for task in _read(filesystem, folder, name, source)}
        new = [task for task in tasks if task.id not in known]
        if not new and lists:
            return _report(lists, known, tasks)
        name = f"{len(lists) + 1:04d}"
        if _publish(filesystem, folder, name, new, store.trash):
            known.update({task.id: task for task in new})
            return attrs.evolve(_report([*lists, name], known, tasks), new=len(new))


def list_names(filesystem: Filesystem, folder: StageFolder) -> list[str]:
    """Lists of a source, in order."""
    return sorted(n[:-6] for n in filesystem.names(folder.lists) if n.endswith(".jsonl") and not n.startswith("."))


def _publish(filesystem: Filesystem, folder: StageFolder, name: str, tasks: Sequence[Task], trash: str) -> bool:
    """Commit the shards, then the list that makes them live. False if another scan's list stands.

    Shard names carry a digest of the scan, so that two scans that found the same write the same shards, and
    two that differ do not collide; the loser's are in no list and so in no live set.
    """
    rows = list(codec(type(tasks[0])).encode_lines(tasks))
    digest = hashlib.sha256(b"".join(rows)).hexdigest()[:8]
    starts = range(0, len(tasks), SHARD_TASKS)
    lines = []
    for ordinal, start in enumerate(starts):
        part = tasks[start : start + SHARD_TASKS]
        weight = round(sum(task.weight for task in part), 6)
        line = ShardLine(shard_id(f"{name}.{digest}", ordinal), weight, len(part), ())
        _commit(filesystem, folder, line, rows[start : start + SHARD_TASKS], digest, trash)
        lines.append(line)
    return write_list(filesystem, folder, name, lines) == lines


def _commit(
    filesystem: Filesystem, folder: StageFolder, line: ShardLine, rows: list[bytes], digest: str, trash: str
) -> None:
    directory = begin_attempt(filesystem, folder, line.id, 1, os.urandom(8).hex())
    filesystem.create(os.path.join(directory, "tasks.jsonl"), b"".join(rows))
    counts = {"tasks_in": line.count, "tasks_out": line.count, "passed": line.count, "dropped": 0, "failed": 0}
    stats = {"shard": line.id, "nonce": digest, "weight_out": line.weight, **counts}
    commit(filesystem, folder, directory, line.id, stats, trash)


def _read(filesystem: Filesystem, folder: StageFolder, name: str, source: Source) -> Iterator[Task]:
    for line in read_list(filesystem, folder, name) or []:
        data = filesystem.read(os.path.join(folder.shard(line.id), "tasks.jsonl"))
        yield from codec(source.task_type).decode_lines(data)


def _report(lists: Sequence[str], known: dict[str, Task], now: Sequence[Task]) -> Intake:
    there = {task.id: task for task in now}
    files = [task for task in known.values() if isinstance(task, FileTask)]
    changed = [t.source for t in files if t.id in there and _differs(t, there[t.id])]
    vanished = [t.source for t in files if t.id not in there]
    return Intake(lists=tuple(lists), tasks=len(known), new=0, changed=tuple(changed), vanished=tuple(vanished))


def _differs(old: FileTask, now: Task) -> bool:
    return isinstance(now, FileTask) and (old.size, old.mtime_ns) != (now.size, now.mtime_ns)


def write_stage_json(filesystem: Filesystem, folder: StageFolder, plain: dict[str, object]) -> None:
    """Say in a stage's folder what it is, once."""
    filesystem.make_folders(folder.path)
    if "stage.json" not in filesystem.names(folder.path):
        filesystem.create(folder.stage_json, json.dumps(plain, indent=1).encode() + b"\n")


__all__ = ["Intake", "list_names", "take_in", "write_stage_json"]
