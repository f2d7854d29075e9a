"""What `hpcurate verify` finds: files of committed shards that are no longer there, or no longer what they were."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from hpcurate.report.run_view import CommittedShard, RunView, StoredList
from hpcurate.runs.indexing import forget
from hpcurate.store.freed import FilesState
from hpcurate.store.stats import ShardStats

THREADS = 16
"""Shards that are looked into at once: nearly all of the time is waiting for the storage."""
BLOCK = 2**20


@attrs.define(frozen=True)
class Fault:
    """Something that is wrong with one committed shard."""

    stage: str
    shard: str
    what: str


@attrs.define(frozen=True, kw_only=True)
class Verification:
    """What became of looking at every file of a run's live set."""

    run: str
    shards: int
    files: int
    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...]
    """Stages of which nothing can be checked yet: what they read is not complete."""
    freed: dict[str, int] = attrs.field(factory=dict)
    """Stage → shards whose files are not there on purpose."""

    def plain(self) -> dict[str, Any]:
        """What `hpcurate verify --json` prints."""
        return attrs.asdict(self)


def verify(view: RunView) -> Verification:
    """Open every `stats.json`, look at every recorded file, and count the rows."""
    found, freed, shards, files = list[Fault](), dict[str, int](), 0, 0
    unchecked = [stage.name for stage in view.planned if not view.lists(stage)]
    for stored in view.stored():
        if gone := sum(map(_are_freed, stored.shards)) if stored.store.freed.any else 0:
            freed[stored.stage] = gone
        found += [Fault(stored.stage, shard, "is not there any more") for shard in stored.missing]
        found += [Fault(stored.stage, shard, "has no readable stats.json") for shard in stored.damaged]
        with ThreadPoolExecutor(THREADS) as pool:
            for shard, (faults, count) in zip(stored.shards, pool.map(_faults, stored.shards), strict=True):
                found += [Fault(stored.stage, shard.id, what) for what in faults]
                shards, files = shards + 1, files + count
    return Verification(
        run=view.run.name, shards=shards, files=files, faults=tuple(found), unchecked=tuple(unchecked), freed=freed
    )


def repair(view: RunView, found: Verification) -> list[str]:
    """Move every damaged shard but those of a source out of the way, so that it is made again. Returns new paths."""
    damaged = {(fault.stage, fault.shard) for fault in found.faults}
    moved = []
    for stored in (one for one in view.stored() if not one.is_source):
        shards = [one for one in (*stored.damaged, *(s.id for s in stored.shards)) if (stored.stage, one) in damaged]
        moved += [stored.store.commits.move_away(shard) for shard in shards]
        forget(stored.store, shards)
    return moved


def _faults(shard: CommittedShard) -> tuple[list[str], int]:
    """What is wrong with one shard, and how many files it has."""
    try:
        stats = shard.stats()
    except (OSError, ValueError) as error:
        return [f"stats.json cannot be read: {error}"], 0
    freed = _are_freed(shard)
    files = {name: size for name, size in stats.files.items() if not (freed and name.startswith("files/"))}
    return [*_files(shard, files), *_rows(shard, stats)], len(files)


def _are_freed(shard: CommittedShard) -> bool:
    """Whether its files were given up on purpose, and are not there again."""
    _, state = shard.store.freed.states([shard.id]).get(shard.id, (0, FilesState.BACK))
    return state is not FilesState.BACK


def _files(shard: CommittedShard, files: Mapping[str, int]) -> Iterator[str]:
    for name, size in files.items():
        try:
            now = os.stat(shard.path / name).st_size
        except OSError:
            yield f"{name} is missing"
        else:
            if now != size:
                yield f"{name} has {now} bytes, it had {size}"


def _rows(shard: CommittedShard, stats: ShardStats) -> Iterator[str]:
    for name, rows in (("tasks.jsonl", stats.tasks_out), ("failed.jsonl", stats.failed)):
        if name in stats.files:
            try:
                found = _count_rows(shard.path / name)
            except OSError:
                continue  # reported as missing
            if found != rows:
                yield f"{name} has {found} rows, stats.json says {rows}"


def _count_rows(path: os.PathLike[str]) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


def by_stage(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """Faults of each stage. Pure."""
    found: dict[str, list[Fault]] = {}
    for fault in faults:
        found.setdefault(fault.stage, []).append(fault)
    return found


__all__ = ["Fault", "StoredList", "Verification", "by_stage", "repair", "verify"]
