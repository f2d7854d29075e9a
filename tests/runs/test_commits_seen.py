"""What a process that keeps looking believes of committed shards, while others purge them and do them again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from one_worker import QuickClock

from hpcurate.runs.commits_seen import CONFIRM_S, CommitsSeen
from hpcurate.runs.indexing import write_index
from hpcurate.runs.lists_seen import LiveList
from hpcurate.store.filesystem import PosixFilesystem
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


class Counting(PosixFilesystem):
    """Counts the results that are opened, and the folders that are listed."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        if path.endswith("stats.json"):
            self.opened.append(path.split("/")[-2])
        return super().read(path)


THREE = LiveList("0001", tuple(ShardLine(f"0001-{fan:03d}{n:03d}", 1.0, 1, ()) for fan in range(3) for n in range(120)))


def _looking(path: Path) -> tuple[CommitsSeen, Counting]:
    """A process that begins to look."""
    counting = Counting()
    stage = World(filesystem=counting).stage(Store(str(path)), "s-1")
    seen = CommitsSeen(QuickClock(), lambda folder: stage)
    seen.next_look()
    return seen, counting


def _written(path: Path, seen: CommitsSeen) -> list[str]:
    """The folders of which an index is wanted; it is written."""
    wanted = [*seen.of("s-1", THREE).unindexed]
    for fan in wanted:
        write_index(World().stage(Store(str(path)), "s-1"), "s-1", fan, seen)
    return wanted


def _committed(path: Path, shards: Iterable[str]) -> None:
    for shard in shards:
        folder = Path(Store(str(path)).stage("s-1").shard(shard))
        folder.mkdir(parents=True)
        (folder / "stats.json").write_text(f'{{"shard": "{shard}", "nonce": "n", "weight_out": 1.0}}')


def test_a_look_opens_no_result_of_a_folder_that_has_its_index(tmp_path: Path) -> None:
    """A gate opened every `stats.json`, at each look."""
    _committed(tmp_path, (line.id for line in THREE.lines))
    first, counting = _looking(tmp_path)
    assert ["0001-000", "0001-001", "0001-002"] == _written(tmp_path, first)
    assert 360 == len(counting.opened)
    second, counting = _looking(tmp_path)
    assert (360, ()) == (len(second.of("s-1", THREE).done), second.of("s-1", THREE).unindexed)
    assert [] == counting.opened


def test_what_one_process_has_read_of_a_folder_that_is_not_full_the_next_one_does_not(tmp_path: Path) -> None:
    """While workers commit, each call opened all that was committed by then."""
    done = [line.id for line in THREE.lines[::120]] + [line.id for line in THREE.lines[1:110]]
    _committed(tmp_path, done)
    first, _ = _looking(tmp_path)
    assert ["0001-000"] == _written(tmp_path, first), "of the others one is not worth it"
    _committed(tmp_path, ["0001-000111"])
    second, counting = _looking(tmp_path)
    assert (113, ()) == (len(second.of("s-1", THREE).done), second.of("s-1", THREE).unindexed)
    assert ["0001-000111", "0001-001000", "0001-002000"] == sorted(counting.opened)


def test_once_a_folder_is_full_what_was_read_before_is_read_again(tmp_path: Path) -> None:
    """A shard may have been purged and done again meanwhile: lists are made of what is committed now."""
    ids = [line.id for line in THREE.lines]
    _committed(tmp_path, ids[:110])
    assert ["0001-000"] == _written(tmp_path, _looking(tmp_path)[0])
    _committed(tmp_path, ids[110:])
    replaced = Path(Store(str(tmp_path)).stage("s-1").shard(ids[3]), "stats.json")
    replaced.write_text(replaced.read_text().replace('"n"', '"another"'))
    second, _ = _looking(tmp_path)
    assert "another" == second.of("s-1", THREE).done[3].nonce
    assert ["0001-000", "0001-001", "0001-002"] == _written(tmp_path, second)
    third, counting = _looking(tmp_path)
    assert ("another", []) == (third.of("s-1", THREE).done[3].nonce, counting.opened)
