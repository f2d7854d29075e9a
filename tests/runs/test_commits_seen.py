"""What a process that keeps looking believes of committed shards, while others purge them and do them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from one_worker import QuickClock

from hpcurate.runs.commits_seen import CONFIRM_S, CommitsSeen
from hpcurate.runs.lists_seen import LiveList
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import ShardStats
from hpcurate.world import World

SHARD = "0001-000000"
LIST = LiveList("0001", (ShardLine(SHARD, 1.0, 1, ()),))


def test_an_attempt_that_was_replaced_between_two_looks_is_noticed(tmp_path: Path) -> None:
    """Before, a call that stayed kept the nonce that it had read first: it wrote lists of rows that were gone, and
    called the run complete on them.
    """
    clock, stage = QuickClock(), World().stage(Store(str(tmp_path)), "s-1")
    seen = CommitsSeen(clock, lambda folder: stage)

    def commit(nonce: str) -> None:
        attempt = stage.commits.begin(SHARD, 1, nonce)
        assert stage.commits.commit(attempt, ShardStats(shard=SHARD, nonce=nonce))

    def nonces() -> list[str]:
        seen.next_look()
        return [shard.nonce for shard in seen.of("s-1", LIST).done]

    commit("first")
    assert ["first"] == nonces()
    shutil.rmtree(stage.folder.shard(SHARD))
    commit("second")
    clock.sleep(CONFIRM_S)
    assert ["second"] == nonces()
    assert ("0001-000",) == seen.of("s-1", LIST).unindexed, "the index has the first"


def test_an_index_of_an_earlier_release_is_not_believed(tmp_path: Path) -> None:
    """It has none of what is counted since; without this, those would read as zeros. Its names still count: what was
    committed and is gone is noticed.
    """
    stage = World().stage(Store(str(tmp_path)), "s-1")
    attempt = stage.commits.begin(SHARD, 1, "first")
    assert stage.commits.commit(attempt, ShardStats(shard=SHARD, nonce="first", amounts_in={"seconds": 2.0}))
    stamp, _ = stage.commits.listing("0001-000")
    before = {"shard": SHARD, "nonce": "first", "weight_out": 0.0}
    index = Path(stage.folder.index("0001-000"))
    index.parent.mkdir()
    index.write_text(json.dumps({"stamp": stamp, "shards": [before]}))
    seen = CommitsSeen(QuickClock(), lambda folder: stage)
    seen.next_look()
    (one,) = seen.of("s-1", LIST).done
    assert ({"seconds": 2.0}, ("0001-000",)) == (one.amounts_in, seen.of("s-1", LIST).unindexed)
    shutil.rmtree(stage.folder.shard(SHARD))
    again = CommitsSeen(QuickClock(), lambda folder: stage)
    again.next_look()
    assert (SHARD,) == again.of("s-1", LIST).missing
