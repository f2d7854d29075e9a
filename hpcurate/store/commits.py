"""Commits: one rename of one directory makes a shard's result visible, whole and for good (I1, I11)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.store.lists import Committed, ShardLine
from hpcurate.system.failpoints import failpoint

__all__ = ["begin_attempt", "commit", "committed_names", "read_committed"]


def begin_attempt(filesystem: Filesystem, folder: StageFolder, shard: str, attempt: int, nonce: str) -> str:
    """Make the attempt directory and return its path."""
    path = folder.attempt(shard, attempt, nonce)
    filesystem.make_folders(path)
    return path


def commit(
    filesystem: Filesystem, folder: StageFolder, attempt_path: str, shard: str, stats: dict[str, Any], trash: str
) -> bool:
    """Freeze the attempt and rename it onto the shard's name: True if ours is the committed one.

    After any result of the rename but success the truth is looked up: the parent is listed and the nonce
    read. Another's attempt stands → ours goes to trash. Raises OSError if nothing is committed.
    """
    stats["files"] = filesystem.sizes(attempt_path)
    filesystem.create(os.path.join(attempt_path, "stats.json"), json.dumps(stats, indent=1).encode() + b"\n")
    filesystem.freeze(attempt_path)
    failpoint("commit.before_rename")
    try:
        filesystem.rename(attempt_path, folder.shard(shard))
    except OSError:
        standing = committed_nonce(filesystem, folder, shard)
        if standing is None:
            raise
        with suppress(OSError):  # gone if it is what stands
            filesystem.discard(attempt_path, trash)
        if standing != stats["nonce"]:
            return False
    failpoint("commit.after_rename")
    return True


def committed_nonce(filesystem: Filesystem, folder: StageFolder, shard: str) -> str | None:
    """Nonce of the committed attempt, or None if the parent's listing has no such shard."""
    if shard not in filesystem.names(folder.shards(fan_of(shard))):
        return None
    return str(read_stats(filesystem, folder, shard)["nonce"])


def read_stats(filesystem: Filesystem, folder: StageFolder, shard: str) -> dict[str, Any]:
    """`stats.json` of a committed shard."""
    stats: dict[str, Any] = json.loads(filesystem.read(os.path.join(folder.shard(shard), "stats.json")))
    return stats


_decode = msgspec.json.Decoder(Committed).decode


def read_committed(filesystem: Filesystem, folder: StageFolder, shard: str) -> Committed:
    """Summary of a committed shard."""
    return _decode(filesystem.read(os.path.join(folder.shard(shard), "stats.json")))


def committed_names(filesystem: Filesystem, folder: StageFolder, lines: Sequence[ShardLine]) -> set[str]:
    """Ids of the list's shards that are committed; one listing a fan-out folder."""
    wanted = {line.id for line in lines}
    found: set[str] = set()
    for fan in dict.fromkeys(fan_of(line.id) for line in lines):
        found.update(wanted.intersection(filesystem.names(folder.shards(fan))))
    return found


class _Done(msgspec.Struct):
    shards: list[Committed]


def read_done(
    filesystem: Filesystem, folder: StageFolder, list_name: str, lines: Sequence[ShardLine]
) -> list[Committed] | None:
    """All committed shards of a complete list in list order, or None while it is incomplete.

    The index `done-<list>.json` is a cache: absent or unreadable, it is rebuilt.
    """
    with suppress(OSError, msgspec.MsgspecError):
        done = msgspec.json.decode(filesystem.read(folder.done(list_name)), type=_Done)
        if len(done.shards) == len(lines):
            return done.shards
    if len(committed_names(filesystem, folder, lines)) < len(lines):
        return None
    shards = [read_committed(filesystem, folder, line.id) for line in lines]
    with suppress(OSError):  # a read-only store is still readable
        filesystem.replace(folder.done(list_name), msgspec.json.encode(_Done(shards)))
    return shards
