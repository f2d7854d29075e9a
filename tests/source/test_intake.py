"""Intake: what the source finds becomes committed shards and immutable lists; growth adds to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from together import together
from unit_stages import Number, numbers

from hpcurate.source import Files, Items, intake
from hpcurate.source.intake import Intake, list_names, take_in
from hpcurate.source.scan import scan
from hpcurate.store.filesystem import POSIX, PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.world import World

WORLD = World()
FOLDER = "source-0123456789ab"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with three files."""
    for name in "abc":
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{name}.mp4").write_text(name)
    return tmp_path / "data"


def look(store: Store, data: Path) -> Intake:
    """Take in what is there now."""
    source = Files(str(data))
    return take_in(WORLD, store, FOLDER, scan(source))


def take_numbers(store: Store, *values: int) -> Intake:
    """Take in tasks given outright."""
    source = Items(numbers(*values))
    return take_in(WORLD, store, FOLDER, scan(source))


def taken(store: Store) -> StageStore:
    """The source's folder."""
    return WORLD.stage(store, FOLDER)


def lists(store: Store) -> list[list[ShardLine]]:
    """Lines of each list."""
    return [taken(store).lists.read(name) or [] for name in list_names(taken(store))]


def sizes(store: Store) -> list[list[int]]:
    """Tasks in each shard of each list."""
    return [[line.count for line in lines] for lines in lists(store)]


def values(store: Store) -> list[int]:
    """Every number taken in, in list order."""
    paths = [taken(store).folder.shard(line.id) for lines in lists(store) for line in lines]
    rows = [POSIX.read(os.path.join(path, "tasks.jsonl")) for path in paths]
    return [task.value for part in rows for task in codec(Number).decode_lines(part)]


def test_the_first_scan_makes_the_first_list(store: Store, data: Path) -> None:
    """With everything in it."""
    assert Intake(lists=("0001",), tasks=3, new=3) == look(store, data)


def test_an_unchanged_folder_adds_nothing(store: Store, data: Path) -> None:
    """The lists stay as they are."""
    look(store, data)
    assert (Intake(lists=("0001",), tasks=3, new=0), [[3]]) == (look(store, data), sizes(store))


def test_one_more_file_is_a_list_of_one(store: Store, data: Path) -> None:
    """Also one that sorts before the others: what was taken in stays in its place."""
    look(store, data)
    (data / "A.mp4").write_text("new")
    assert (Intake(lists=("0001", "0002"), tasks=4, new=1), [[3], [1]]) == (look(store, data), sizes(store))


def test_a_changed_file_is_reported_and_keeps_its_row(store: Store, data: Path) -> None:
    """Old results are not silently mixed with new content."""
    look(store, data)
    (data / "b.mp4").write_text("longer than before")
    assert (Intake(lists=("0001",), tasks=3, new=0, changed=("b.mp4",)), [[3]]) == (look(store, data), sizes(store))


def test_a_touched_file_counts_as_changed(store: Store, data: Path) -> None:
    """Same size, another time: the content may differ."""
    look(store, data)
    os.utime(data / "b.mp4", ns=(1, 1))
    assert ("b.mp4",) == look(store, data).changed


def test_a_vanished_file_is_reported(store: Store, data: Path) -> None:
    """Its results stay."""
    look(store, data)
    (data / "b.mp4").unlink()
    assert Intake(lists=("0001",), tasks=3, new=0, vanished=("b.mp4",)) == look(store, data)


def test_a_large_source_is_cut_into_shards(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, the last one smaller."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 4)
    take_numbers(store, *range(10))
    assert ([[4, 4, 2]], list(range(10))) == (sizes(store), values(store))


def test_a_source_list_is_complete_at_once(store: Store) -> None:
    """Downstream reads it as any other list."""
    take_numbers(store, 1, 2)
    [[line]] = lists(store)
    assert {line.id} == taken(store).commits.names([line])


def test_a_shard_has_its_counts(store: Store) -> None:
    """As if a stage had passed all of them."""
    take_numbers(store, 1, 2, 3)
    [[line]] = lists(store)
    stats = taken(store).commits.stats(line.id)
    assert (3, 3, 3, 0, 0, 3.0) == (
        stats.tasks_in, stats.tasks_out, stats.passed, stats.dropped, stats.failed, stats.weight_out,
    )  # fmt: skip


class PowerCut(Exception):
    """The process is gone."""


class Interrupted(PosixFilesystem):
    """Loses power when the first list would be written."""

    def create(self, path: str, data: bytes) -> bool:
        """Refuse lists."""
        if "/lists/" in path:
            raise PowerCut
        return super().create(path, data)


def test_a_scan_interrupted_before_its_list_is_done_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards without a list are nothing; the next scan uses the same names and leaves no rubbish."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 2)
    source = Items(numbers(1, 2, 3))
    with pytest.raises(PowerCut):
        take_in(World(filesystem=Interrupted()), store, FOLDER, scan(source))
    take_numbers(store, 1, 2, 3)
    fan = Path(store.stage(FOLDER).path, "shards")
    assert ([[2, 1]], 2) == (sizes(store), len(list(fan.glob("*/*"))))


def test_other_tasks_after_an_interrupted_scan_do_not_mix(store: Store) -> None:
    """The half-written scan is in no list, and so in no live set."""
    source = Items(numbers(1, 2))
    with pytest.raises(PowerCut):
        take_in(World(filesystem=Interrupted()), store, FOLDER, scan(source))
    take_numbers(store, 7)
    assert [7] == values(store)


def _take(number: int, store: Store, same: bool) -> tuple[str, ...]:
    return take_numbers(store, *(range(5) if same else range(number, number + 3))).lists


def test_scans_at_once_that_found_the_same_make_one_list(store: Store) -> None:
    """Eight processes, one list, every task once."""
    made = together(_take, store, True)
    assert ({("0001",)}, [[5]], list(range(5))) == (set(made), sizes(store), values(store))


def test_scans_at_once_that_differ_take_every_task_once(store: Store) -> None:
    """A file landed between two scans: the later one adds what is left."""
    together(_take, store, False)
    assert list(range(10)) == sorted(values(store))


def test_lists_are_named_in_order(store: Store) -> None:
    """Temporary files do not count."""
    for values_ in ((1,), (1, 2), (1, 2, 3)):
        take_numbers(store, *values_)
    Path(taken(store).folder.lists, ".0004.jsonl.ab12").write_text("")
    assert ["0001", "0002", "0003"] == list_names(taken(store))


def trial(store: Store, data: Path, limit: int) -> Intake:
    """Take in the first files only."""
    return take_in(WORLD, store, FOLDER, scan(Files(str(data)), limit), limit)


def test_a_trial_is_a_list_that_the_full_scan_adds_to(store: Store, data: Path) -> None:
    """The first file alone; then the rest alone."""
    assert Intake(lists=("0001",), tasks=1, new=1) == trial(store, data, 1)
    assert (Intake(lists=("0001", "0002"), tasks=3, new=2), [[1], [2]]) == (look(store, data), sizes(store))


def test_the_same_trial_again_adds_nothing(store: Store, data: Path) -> None:
    """Before and after the full scan."""
    trial(store, data, 1)
    assert Intake(lists=("0001",), tasks=1, new=0) == trial(store, data, 1)
    look(store, data)
    assert Intake(lists=("0001",), tasks=1, new=0) == trial(store, data, 1)


def test_a_larger_trial_adds_to_the_smaller(store: Store, data: Path) -> None:
    """Growth, not a second list with the same file."""
    trial(store, data, 1)
    assert Intake(lists=("0001", "0002"), tasks=2, new=1) == trial(store, data, 2)


def test_a_trial_after_the_full_scan_has_a_list_of_its_own(store: Store, data: Path) -> None:
    """Which no full scan counts, and which the same trial finds again."""
    look(store, data)
    first = trial(store, data, 2)
    assert (2, True) == (first.tasks, first.lists[0].startswith("first2."))
    assert first == trial(store, data, 2)
    assert Intake(lists=("0001",), tasks=3, new=0) == look(store, data)


def test_a_trial_larger_than_the_input_is_all_of_it(store: Store, data: Path) -> None:
    """Three files, whatever was asked for."""
    assert Intake(lists=("0001",), tasks=3, new=3) == trial(store, data, 9)
    assert Intake(lists=("0001",), tasks=3, new=0) == look(store, data)
