"""Writing down what a look has found out about one fan-out folder: what is committed there, and what no longer is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from hpcurate.failures import Ending
from hpcurate.runs.commits_seen import CommitsSeen
from hpcurate.store.layout import fan_of
from hpcurate.store.stage_store import StageStore

PURGED = "its result was committed, and is gone"


def write_index(store: StageStore, folder: str, fan: str, seen: CommitsSeen) -> None:
    """Write the index of a fan-out folder; end the attempts whose committed results are gone for sure."""
    _end(store, fan, seen.gone(folder, fan))
    store.commits.write_index(fan, seen.index_of(folder, fan))
    seen.index_written(folder, fan)


def forget(store: StageStore, shards: Iterable[str]) -> None:
    """Write down that these results were moved away on purpose: nobody waits for another listing that lacks them."""
    moved = set(shards)
    for fan in sorted({fan_of(shard) for shard in moved}):
        index = store.commits.read_index(fan)
        if index is not None:
            _end(store, fan, {shard.shard: shard.nonce for shard in index.shards if shard.shard in moved})
            left = tuple(shard for shard in index.shards if shard.shard not in moved)
            store.commits.write_index(fan, msgspec.structs.replace(index, shards=left))


def _end(store: StageStore, fan: str, gone: Mapping[str, str]) -> None:
    """An attempt that was committed is over, whatever its process does: the next one may begin."""
    attempts = store.claims.latest(fan) if gone else {}
    for shard, nonce in gone.items():
        latest = attempts.get(shard)
        claim = store.claims.read(shard, latest.attempt) if latest and latest.ending is None else None
        if claim is not None and claim.nonce == nonce:
            store.claims.end(claim, Ending.LOST, PURGED)
