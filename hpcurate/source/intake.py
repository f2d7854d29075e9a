"""Intake: what the source enumerates becomes committed shards and an immutable list.

A later scan adds a list with the new tasks alone. Files that changed or vanished are reported and keep
their place, so that nothing is silently mixed. With a limit the run's live set is exactly the first tasks:
a numbered list where the full run can reuse it, else a list `first<n>` of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Iterator, Sequence, Set
from typing import IO, Any

import attrs

from hpcurate.source.base import hash64
from hpcurate.source.scan import Scan, stamp
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, Store, shard_id
from hpcurate.store.lists import ShardLine
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from hpcurate.task import FileTask, Task
from hpcurate.world import World

SHARD_TASKS = 1000
"""Tasks in one shard of a source."""


@attrs.define(frozen=True, kw_only=True)
class Intake:
    """Result of a scan."""

    lists: tuple[str, ...]
    """Lists of the source that are the run's live set."""
    tasks: int
    """Tasks in these lists."""
    new: int
    changed: tuple[str, ...] = ()
    """Sources whose size or modification time differs from what was taken in."""
    vanished: tuple[str, ...] = ()
    """Sources taken in that are no longer there."""


def take_in(world: World, store: Store, folder: str, scan: Scan, limit: int | None = None) -> Intake:
    """Write what is new in the scan as the next list of the source. Safe against a second caller.

    With `limit` the scan holds the first so many tasks, and the live set is they.
    """
    intake = _Intake(world, world.stage(store, folder), scan)
    while True:
        lists = list_names(intake.store)
        done = intake.all(lists) if limit is None else intake.first(lists, limit)
        if done is not None:
            return done


def list_names(store: StageStore) -> list[str]:
    """Numbered lists of a source, in order; those of trials are left out."""
    return [name for name in store.lists.names() if name.isdigit()]


@attrs.define
class _Intake:
    world: World
    store: StageStore
    scan: Scan

    def all(self, lists: list[str]) -> Intake | None:
        """Take in what no list has; None if somebody else wrote the next list meanwhile."""
        with tempfile.TemporaryFile(prefix="hpcurate-new-") as rows:
            known = {hash64(task.id): stamp(task) for task in self._taken_in(lists)}
            total = len(known)
            new, changed = self._copy_new(known, rows)
            gone = known.keys() - self.scan.left_out
            vanished = tuple(self._names_of(lists, gone)) if gone else ()
            if lists and not new:
                return Intake(lists=tuple(lists), tasks=total, new=0, changed=changed, vanished=vanished)
            name = _next(lists)
            if not self._publish(name, rows):
                return None
        return Intake(lists=(*lists, name), tasks=total + new, new=new, changed=changed, vanished=vanished)

    def first(self, lists: list[str], limit: int) -> Intake | None:
        """The live set of a trial; None if somebody else wrote the list meanwhile."""
        sizes = itertools.accumulate(sum(line.count for line in self._lines(name)) for name in lists)
        totals = [0, *sizes]
        if lists and limit in totals:
            return Intake(lists=tuple(lists[: totals.index(limit)]), tasks=limit, new=0)
        with tempfile.TemporaryFile(prefix="hpcurate-new-") as rows:
            if totals[-1] > limit:
                rows.writelines(row for row, _ in self.scan.tasks())
                name = f"first{limit}.{_digest(rows)}"
                self._publish(name, rows)
                return Intake(lists=(name,), tasks=self.scan.count, new=0)
            known = {hash64(task.id): stamp(task) for task in self._taken_in(lists)}
            new, _ = self._copy_new(known, rows, most=limit - totals[-1])
            if lists and not new:
                return Intake(lists=tuple(lists), tasks=totals[-1], new=0)
            if not self._publish(_next(lists), rows):
                return None
        return Intake(lists=(*lists, _next(lists)), tasks=totals[-1] + new, new=new)

    def _copy_new(self, known: dict[int, int], rows: IO[bytes], most: int | None = None) -> tuple[int, tuple[str, ...]]:
        """Write the rows that are not known; those found are taken out of `known`. (how many, changed sources)."""
        new, changed = 0, []
        for row, task in self.scan.tasks():
            before = known.pop(hash64(task.id), None)
            if before is None:
                if most is None or new < most:
                    rows.write(row)
                    new += 1
            elif before != stamp(task) and isinstance(task, FileTask):
                changed.append(task.source)
        return new, tuple(changed)

    def _names_of(self, lists: Sequence[str], hashes: Set[int]) -> Iterator[str]:
        for task in self._taken_in(lists):
            if isinstance(task, FileTask) and hash64(task.id) in hashes:
                yield task.source

    def _taken_in(self, lists: Sequence[str]) -> Iterator[Task]:
        for name in lists:
            for line in self._lines(name):
                data = self.world.filesystem.read(os.path.join(self.store.folder.shard(line.id), "tasks.jsonl"))
                yield from codec(self.scan.task_type).decode_lines(data)

    def _lines(self, name: str) -> list[ShardLine]:
        return self.store.lists.read(name) or []

    # -- publishing ---------------------------------------------------------------------------------

    def _publish(self, name: str, rows: IO[bytes]) -> bool:
        """Commit the shards, then the list that makes them live. False if another scan's list stands.

        Shard names carry a digest of the rows, so that two scans that found the same write the same shards, and
        two that differ do not collide; the loser's are in no list and so in no live set.
        """
        digest = _digest(rows)
        stem = name if name.endswith(digest) else f"{name}.{digest}"
        rows.seek(0)
        lines = []
        for ordinal, part in enumerate(iter(lambda: list(itertools.islice(rows, SHARD_TASKS)), [])):
            tasks = codec(self.scan.task_type).decode_lines(b"".join(part))
            line = ShardLine(shard_id(stem, ordinal), round(sum(task.weight for task in tasks), 6), len(part), ())
            self._commit(line, part, digest)
            lines.append(line)
        return self.store.lists.write(name, lines) == lines

    def _commit(self, line: ShardLine, rows: list[bytes], digest: str) -> None:
        directory = self.store.commits.begin(line.id, 1, self.world.nonce(8))
        self.world.filesystem.create(os.path.join(directory, "tasks.jsonl"), b"".join(rows))
        count = line.count
        stats = ShardStats(
            shard=line.id, nonce=digest, weight_out=line.weight, tasks_in=count, tasks_out=count, passed=count
        )
        self.store.commits.commit(directory, stats)


def _next(lists: Sequence[str]) -> str:
    return f"{len(lists) + 1:04d}"


def _digest(rows: IO[bytes]) -> str:
    rows.seek(0)
    return hashlib.file_digest(rows, "sha256").hexdigest()[:8]  # type: ignore[arg-type]


def write_stage_json(filesystem: Filesystem, folder: StageFolder, plain: dict[str, object]) -> dict[str, Any]:
    """Say in a stage's folder what it is, once; what was said first."""
    filesystem.make_folders(folder.path)
    if "stage.json" not in filesystem.names(folder.path):
        filesystem.create(folder.stage_json, json.dumps(plain, indent=1).encode() + b"\n")
    first: dict[str, Any] = json.loads(filesystem.read(folder.stage_json))
    return first


__all__ = ["Intake", "list_names", "take_in", "write_stage_json"]
