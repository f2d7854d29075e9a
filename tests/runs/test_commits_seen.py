"""What a process that keeps looking believes of committed shards, while others purge them and do them again."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_worker import QuickClock

from benchmarks.big_store import LOCAL, make
from hpcurate.runs.commits_seen import CONFIRM_S, CommitsSeen
from hpcurate.runs.driver import Driver
from hpcurate.runs.folded import Folded
from hpcurate.runs.indexing import write_index
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.lists_seen import LiveList
from hpcurate.runs.state import StageCounts
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import Committed, GpuUse, LeftOut, ShardStats
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


def _held(of: Callable[[], object]) -> int:
    """Bytes that are held of what it has made."""
    tracemalloc.start()
    try:
        made = of()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if made is not None else 0
    finally:
        tracemalloc.stop()


def test_a_gate_holds_little_of_each_shard(tmp_path: Path) -> None:
    """It was 3 kB: a gate of a million shards took as much memory as the node had."""
    driver = make(str(tmp_path), 2000, is_done=lambda number: True)
    run, filesystem = driver.run, CountedOpens()

    def looked() -> Driver:
        again = Driver(run, make_launcher(LOCAL), world=World(filesystem=filesystem))
        again.look()
        return again

    looked()  # modules, caches of types
    assert _held(looked) < 2000 * 300
    assert [] == filesystem.opened, "all of it is in the indexes"


class CountedOpens(Counting):
    """Counts what is opened, whoever does."""

    def read_all(self, paths: Sequence[str]) -> list[bytes | OSError]:
        """See `Filesystem`."""
        self.opened += [path for path in paths if path.endswith("stats.json")]
        return super().read_all(paths)


def test_shards_of_a_list_that_goes_to_and_fro_between_folders_are_in_its_order(tmp_path: Path) -> None:
    """Lists that are named by their content do, and such with lines of an earlier version."""
    ids = ["0001-000001", "0001-001001", "0001-000000", "0001-001000", "0001-000002"]
    _committed(tmp_path, [*ids[:3], ids[4]])
    seen, _ = _looking(tmp_path)
    found = seen.of("s-1", LiveList("0001", tuple(ShardLine(id, n + 1.0, 2, ()) for n, id in enumerate(ids))))
    assert ([*ids[:3], ids[4]], 4) == ([shard.shard for shard in found.done], found.sums.shards)
    assert (10, 15.0, 11.0) == (found.tasks, found.weight, found.weight_done)


def test_what_was_seen_stays_what_it_was(tmp_path: Path) -> None:
    """The next look sees more; who still has the one before decides on that."""
    ids = [line.id for line in THREE.lines]
    _committed(tmp_path, ids[:2])
    seen, _ = _looking(tmp_path)
    before = seen.of("s-1", THREE)
    _committed(tmp_path, ids[2:5])
    seen.next_look()
    assert (5, 2) == (len([*seen.of("s-1", THREE).done]), len([*before.done]))
    seen.next_look()
    assert seen.of("s-1", THREE) is seen.of("s-1", THREE)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 9)), max_size=9), st.integers(0, 9))
def test_shards_add_up_however_they_are_put_together(given: list[tuple[int, float]], cut: int) -> None:
    """A thousand at a time, or all at once."""
    shards = [
        Committed(
            shard=str(number), nonce="n", weight_out=1.0, tasks_in=tasks, passed=tasks, seconds=seconds,
            amounts_in={"seconds": seconds} if tasks else {}, reasons={"dark": tasks}, lost={"dark": {"bytes": seconds}},
            left_out={"short": LeftOut(tasks, {"seconds": seconds})}, ended=seconds,
            gpu=GpuUse(seconds=1.0, busy=seconds if tasks else None),
        )
        for number, (tasks, seconds) in enumerate(given)
    ]  # fmt: skip
    both = Folded.together([Folded.of(shards[:cut]), Folded.of(shards[cut:])])
    one, other = (msgspec.to_builtins(StageCounts.of(9, folded)) for folded in (Folded.of(shards), both))
    assert pytest.approx(_flat(one), abs=2e-4) == _flat(other)


def _flat(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {name: value}
    return {path: leaf for key, one in value.items() for path, leaf in _flat(one, f"{name}.{key}").items()}
