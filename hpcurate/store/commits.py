"""Commits: one rename of one directory makes a shard's result visible, whole and for good (I1, I11)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from hpcurate.failures import DeadLetter
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.freed import Freed
from hpcurate.store.layout import StageFolder, fan_of
from hpcurate.store.packed import decoded, encoded
from hpcurate.store.stats import Committed, ShardStats
from hpcurate.store.trouble import TEST_BYTES
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import nonce

__all__ = ["INDEX_FORMAT", "Commits", "FanIndex", "read_dead_letter"]


INDEX_FORMAT = 3
"""Raised with each field of `Committed` that readers would take for nothing where an older index lacks it."""

PART = -2
"""No folder has this stamp."""


class FanIndex(msgspec.Struct, frozen=True):
    """`done/<fan>.json`: what is committed in one fan-out folder, so that nobody reads every `stats.json` again."""

    stamp: int
    """Of the folder, before the shards were read. While it has this stamp, the entries hold; later only the names do:
    each was committed once. Of a folder that was not full the entries are of several times, and this is `PART`; they
    are as good as what one process has read while others commit."""
    shards: tuple[Committed, ...]
    format: int = 1
    """Of one that an earlier release wrote only the names hold: its entries lack what is counted now."""

    @property
    def whole(self) -> bool:
        """Whether its entries have all that a `Committed` has."""
        return self.format >= INDEX_FORMAT


_committed = msgspec.json.Decoder(Committed)
_index = msgspec.json.Decoder(FanIndex)


class Commits:
    """The committed shards of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder, trash: str) -> None:
        self._filesystem, self._folder, self._trash = filesystem, folder, trash
        self.freed = Freed(filesystem, folder, trash)

    # -- making one ---------------------------------------------------------------------------------

    def begin(self, shard: str, attempt: int, nonce: str) -> str:
        """Make the attempt directory and return its path."""
        path = self._folder.attempt(shard, attempt, nonce)
        try:
            self._filesystem.make_folder(path)
        except FileNotFoundError:  # somebody has purged the one that it is in
            self._filesystem.make_folders(path)
        return path

    def discard(self, attempt_path: str) -> None:
        """Remove an attempt that came to nothing."""
        self._filesystem.discard(attempt_path, self._trash)

    def commit(self, attempt_path: str, stats: ShardStats) -> bool:
        """Seal the attempt and rename it onto the shard's name: True if ours is the committed one.

        After any result of the rename but success the truth is looked up: the parent is listed and the nonce
        read. Another's attempt stands → ours goes to trash. Raises OSError if nothing is committed: it may be called
        again then.
        """
        return self.commit_all({attempt_path: stats})[0]

    def commit_all(self, attempts: Mapping[str, ShardStats]) -> list[bool]:
        """The same of many, flushed together before the first of them is to be seen."""
        self._filesystem.seal({path: partial(_record, stats) for path, stats in attempts.items()}, "stats.json")
        failpoint("commit.before_rename")
        last = {fan_of(stats.shard): path for path, stats in attempts.items()}.values()
        return [self._show(path, stats, flush=path in last) for path, stats in attempts.items()]

    def _show(self, attempt_path: str, stats: ShardStats, *, flush: bool) -> bool:
        try:
            self._filesystem.rename(attempt_path, self._folder.shard(stats.shard), flush=flush)
        except OSError:
            standing = self.nonce(stats.shard)
            if standing is None:
                raise
            if standing != stats.nonce and self.freed.lacking([stats.shard]):
                self.freed.put_back(attempt_path, stats.shard, self.stats(stats.shard).files)
            with suppress(OSError):  # gone if it is what stands
                self.discard(attempt_path)
            if standing != stats.nonce:
                return False
        failpoint("commit.after_rename")
        return True

    def test_write(self, folder: str) -> None:
        """Write enough there for a store that is full, or fails otherwise, to show it. Raises OSError."""
        path = os.path.join(folder, ".test-write")
        self._filesystem.replace(path, b"enough..." * (TEST_BYTES // 9))
        self._filesystem.discard(path, self._trash)

    def move_away(self, shard: str) -> str:
        """Move a damaged shard into the trash folder, where it stays, and return where it is. Raises OSError."""
        target = os.path.join(self._trash, f"{os.path.basename(self._folder.path)}.{shard}.{nonce()}")
        self._filesystem.make_folders(self._trash)
        self._filesystem.rename(self._folder.shard(shard), target)
        return target

    # -- reading ------------------------------------------------------------------------------------

    def nonce(self, shard: str) -> str | None:
        """Nonce of the committed attempt, or None if the parent's listing has no such shard."""
        if shard not in self._filesystem.names(self._folder.shards(fan_of(shard))):
            return None
        return self.read(shard).nonce

    def stands(self, shard: str) -> bool:
        """Whether the shard is committed, by opening it: what a stale listing hides; and nobody lacks its files."""
        try:
            return bool(self._stats_json(shard)) and not self.freed.lacking([shard])
        except (FileNotFoundError, NotADirectoryError):
            return False

    def stats(self, shard: str) -> ShardStats:
        """All that `stats.json` of a committed shard holds."""
        return msgspec.convert(json.loads(self._stats_json(shard)), ShardStats)  # its names may be any bytes

    def read(self, shard: str) -> Committed:
        """Summary of a committed shard."""
        return decoded(_committed, self._stats_json(shard))

    def read_many(self, shards: Sequence[str]) -> list[Committed | Exception]:
        """Of each the summary, or why there is none: FileNotFoundError, or what it has cannot be read.

        Raises OSError where the store fails.
        """
        return [self._summary(data) for data in self._filesystem.read_all([self._stats_path(one) for one in shards])]

    def _summary(self, data: bytes | OSError) -> Committed | Exception:
        if isinstance(data, (FileNotFoundError, NotADirectoryError)):
            return data
        if isinstance(data, OSError):
            raise data
        try:
            return decoded(_committed, data)
        except (msgspec.MsgspecError, ValueError) as error:
            return error

    def dead_letters(self, shard: str) -> list[DeadLetter]:
        """Those of a committed shard, in order; none where it has no such file."""
        try:
            rows = self._filesystem.read(os.path.join(self._folder.shard(shard), "failed.jsonl")).splitlines()
        except FileNotFoundError:
            return []
        return [read_dead_letter(row) for row in rows]

    def names(self, shards: Iterable[str]) -> set[str]:
        """Those of these shards that are committed, and not to be done again; one listing a fan-out folder."""
        wanted: dict[str, list[str]] = {}
        for shard in shards:
            wanted.setdefault(fan_of(shard), []).append(shard)
        return {shard for fan, ids in wanted.items() for shard in self.all_of(fan).intersection(ids)}

    def all_of(self, fan: str) -> set[str]:
        """The shards of a fan-out folder that are committed, of whatever list, and not to be done again."""
        found = {name for name in self._filesystem.names(self._folder.shards(fan)) if not name.startswith(".")}
        return found - self.freed.lacking(found)

    def _stats_json(self, shard: str) -> bytes:
        return self._filesystem.read(self._stats_path(shard))

    def _stats_path(self, shard: str) -> str:
        return os.path.join(self._folder.shard(shard), "stats.json")

    # -- one fan-out folder -------------------------------------------------------------------------

    def listing(self, fan: str) -> tuple[int, frozenset[str]]:
        """Stamp of a fan-out folder, taken first, and the shards that are committed there."""
        folder = self._folder.shards(fan)
        stamp = self._filesystem.stamp(folder)
        return stamp, frozenset(name for name in self._filesystem.names(folder) if not name.startswith("."))

    def read_index(self, fan: str) -> FanIndex | None:
        """The index of a fan-out folder; None where it is absent or unreadable."""
        with suppress(OSError, ValueError):
            return decoded(_index, self._filesystem.read(self._folder.index(fan)))
        return None

    def write_index(self, fan: str, index: FanIndex) -> None:
        """Write it: a cache, made again where it is missing."""
        with suppress(OSError):  # a read-only store is still readable
            self._filesystem.make_folders(self._folder.indexes)
            self._filesystem.replace(self._folder.index(fan), encoded(index))


def _record(stats: ShardStats, files: dict[str, int]) -> bytes:
    """`stats.json` of an attempt that has these files, which are recorded in it."""
    files.pop("stats.json", None)  # of a call before
    stats.files = files
    return json.dumps(stats.to_json(), indent=1).encode() + b"\n"


def read_dead_letter(line: bytes) -> DeadLetter:
    """A row of `failed.jsonl`. By json: names may hold bytes that are no text, which msgspec's own decoder refuses."""
    return msgspec.convert(json.loads(line), DeadLetter)
