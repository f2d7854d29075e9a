"""Intake: what the source finds becomes committed shards and immutable lists; growth adds to them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from snapshot import difference, snapshot
from together import together
from unit_stages import Number, numbers

from hpcurate import Task
from hpcurate.source import Files, Folders, Groups, Items, Jsonl, Source, Triplets, intake
from hpcurate.source.intake import Edits, Intake, foresee, take_in
from hpcurate.source.scan import scan
from hpcurate.source.taken import list_names
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
    assert {line.id} == taken(store).commits.names([line.id])


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
    assert ("0001", "0002", "0003") == list_names(taken(store))


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


# -- edited inputs ----------------------------------------------------------------------------------

REDO, DROP = Edits(changed="redo"), Edits(vanished="drop")


def rows(store: Store, *names: str) -> list[Any]:
    """Tasks of these lists, in order."""
    found = [taken(store).folder.shard(line.id) for name in names for line in taken(store).lists.read(name) or []]
    lines = [row for path in found for row in POSIX.read(os.path.join(path, "tasks.jsonl")).splitlines()]
    return [json.loads(row) for row in lines]


def edit(store: Store, source: Source, edits: Edits = REDO, limit: int | None = None) -> Intake:
    """Take in what is there now, as a user who decides."""
    return take_in(WORLD, store, FOLDER, scan(source, limit), limit, edits)


def table(path: Path, rows_: list[dict[str, Any]]) -> Jsonl:
    """A manifest that is written again."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_))
    return Jsonl(str(path))


def test_a_changed_row_is_reported(store: Store, tmp_path: Path) -> None:
    """A record with the same id and other content kept its old results without a word: only files were compared."""
    edit(store, table(tmp_path / "t.jsonl", [{"id": "a", "x": 1}, {"id": "b", "x": 2}]), Edits())
    again = edit(store, table(tmp_path / "t.jsonl", [{"id": "a", "x": 1}, {"id": "b", "x": 3}]), Edits())
    assert Intake(lists=("0001",), tasks=2, new=0, changed=("b",)) == again
    assert [1, 2] == [row["data"]["x"] for row in rows(store, *again.lists)]


def test_a_changed_member_of_a_group_is_reported(store: Store, tmp_path: Path) -> None:
    """A group's row names its files, and says nothing of what is in them; it was never compared."""
    make = [tmp_path / "g" / name for name in ("a.mp4", "a.json", "b.mp4", "b.json")]
    (tmp_path / "g").mkdir()
    for path in make:
        path.write_text("1234")
    source = Groups(str(tmp_path / "g"), {"video": ["mp4"], "meta": ["json"]})
    edit(store, source, Edits())
    assert () == edit(store, source, Edits()).changed
    make[1].write_text("4321")
    assert ("a",) == edit(store, source, Edits()).changed
    assert Intake(lists=("0001+1",), tasks=2, new=0, changed=("a",), again=2) == edit(store, source)
    assert () == edit(store, source, Edits()).changed


def test_triplets_are_compared_by_the_files_they_name(store: Store, tmp_path: Path) -> None:
    """Also when one of them is gone: the row stands."""
    (tmp_path / "a.mp4").write_text("a")
    (tmp_path / "t.jsonl").write_text('{"video": "a.mp4", "json": "not there.json"}\n')
    source = Triplets(str(tmp_path / "t.jsonl"))
    edit(store, source, Edits())
    assert () == edit(store, source, Edits()).changed
    (tmp_path / "a.mp4").write_text("longer")
    assert ("a",) == edit(store, source, Edits()).changed


def test_a_folder_is_compared_by_what_is_below_it(store: Store, tmp_path: Path) -> None:
    """Names, sizes and times, at any depth; hidden files do not count."""
    deep = tmp_path / "d" / "one" / "deep"
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    source = Folders(str(tmp_path / "d"))
    edit(store, source, Edits())
    (deep / ".hidden").write_text("x")
    assert () == edit(store, source, Edits()).changed
    (deep / "y").write_text("y")
    assert ("one",) == edit(store, source, Edits()).changed


def test_a_shard_of_an_earlier_release_is_compared_as_far_as_it_can_be(store: Store, tmp_path: Path) -> None:
    """It has no file beside its rows that says what the members looked like: they count as unchanged."""
    (tmp_path / "a.mp4").write_text("a")
    (tmp_path / "t.jsonl").write_text('{"video": "a.mp4"}\n')
    edit(store, Triplets(str(tmp_path / "t.jsonl")), Edits())
    [beside] = Path(store.root).glob("stages/*/shards/*/*/seen.txt")
    beside.unlink()
    (tmp_path / "a.mp4").write_text("longer")
    assert () == edit(store, Triplets(str(tmp_path / "t.jsonl")), Edits()).changed


def test_a_row_that_lacks_a_field_of_today_has_not_changed(store: Store, data: Path) -> None:
    """A task class that gained a field with a default does not make a million edited items."""
    look(store, data)
    [path] = Path(store.root).glob("stages/*/shards/*/*/tasks.jsonl")
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"parents":[],', ""))
    assert Intake(lists=("0001",), tasks=3, new=0) == edit(store, Files(str(data)))


def test_redo_replaces_the_shard_of_the_changed_item(store: Store, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the next version of its list; the other shards are the same, and the old version stands for older runs."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 2)
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    assert Intake(lists=("0001+1",), tasks=3, new=0, changed=("a.mp4",), again=2) == edit(store, Files(str(data)))
    before, after = (taken(store).lists.read(name) or [] for name in ("0001", "0001+1"))
    assert (before[1], True) == (after[1], before[0].id != after[0].id)
    assert ([1, 1, 1], [18, 1, 1]) == tuple([row["size"] for row in rows(store, name)] for name in ("0001", "0001+1"))
    assert Intake(lists=("0001+1",), tasks=3, new=0) == look(store, data)


def test_an_edit_that_is_taken_back_is_the_shard_of_before(
    store: Store, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made of it stands: nothing is done again."""
    monkeypatch.setattr(intake, "SHARD_TASKS", 2)
    os.utime(data / "a.mp4", ns=(5, 5))
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    edit(store, Files(str(data)))
    (data / "a.mp4").write_text("a")
    os.utime(data / "a.mp4", ns=(5, 5))
    assert ("0001+2",) == edit(store, Files(str(data))).lists
    assert taken(store).lists.read("0001") == taken(store).lists.read("0001+2")


def test_drop_leaves_out_what_is_gone(store: Store, data: Path) -> None:
    """Its shard without it; the changed one beside it keeps its old row, as nobody asked for it."""
    look(store, data)
    (data / "b.mp4").unlink()
    (data / "a.mp4").write_text("longer than before")
    done = edit(store, Files(str(data)), DROP)
    assert Intake(lists=("0001+1",), tasks=2, new=0, changed=("a.mp4",), vanished=("b.mp4",), again=3) == done
    assert [("a.mp4", 1), ("c.mp4", 1)] == [(row["source"], row["size"]) for row in rows(store, "0001+1")]


def test_a_list_of_which_nothing_is_left_has_no_lines(store: Store, data: Path) -> None:
    """It stays a list; what comes back is new."""
    look(store, data)
    (data / "d.mp4").write_text("d")
    look(store, data)
    (data / "d.mp4").unlink()
    assert (("0001", "0002+1"), 3) == ((done := edit(store, Files(str(data)), DROP)).lists, done.tasks)
    (data / "d.mp4").write_text("d")
    assert Intake(lists=("0001", "0002+1", "0003"), tasks=4, new=1) == look(store, data)


def test_growth_and_an_edit_in_one_call(store: Store, data: Path) -> None:
    """The next version of one list, and the next list."""
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    (data / "d.mp4").write_text("d")
    done = edit(store, Files(str(data)))
    assert Intake(lists=("0001+1", "0002"), tasks=4, new=1, changed=("a.mp4",), again=3) == done


def test_two_items_of_one_name_are_two(store: Store, tmp_path: Path) -> None:
    """Rows of a class with a field `source` are told apart by their ids."""
    both = [{"id": name, "source": "youtube", "value": 1} for name in "ab"]
    kind = {"task": f"{__name__}.Clip"}
    write = table(tmp_path / "t.jsonl", both).path
    edit(store, Jsonl(write, **kind), Edits())
    table(tmp_path / "t.jsonl", [{**row, "value": 2} for row in both])
    assert ("a", "b") == edit(store, Jsonl(write, **kind), Edits()).changed


@attrs.define(kw_only=True)
class Clip(Task):
    """A row that says where it comes from."""

    source: str
    value: int


def test_a_trial_reports_an_edit_and_keeps_the_old_row(store: Store, data: Path) -> None:
    """With a limit nothing was compared, and a trial of fewer than there are mixed in the new row without a word."""
    look(store, data)
    before = trial(store, data, 2)
    (data / "a.mp4").write_text("longer than before")
    assert attrs.evolve(before, changed=("a.mp4",)) == edit(store, Files(str(data)), Edits(), 2)
    assert ("a.mp4",) == edit(store, Files(str(data)), Edits(), 3).changed


def test_a_trial_that_redoes_has_the_new_row(store: Store, data: Path) -> None:
    """And so has whoever comes after it: what was taken in is one thing for all runs of a store."""
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    done = edit(store, Files(str(data)), REDO, 2)
    assert ([18, 1], ("a.mp4",)) == ([row["size"] for row in rows(store, *done.lists)], done.changed)
    assert done.lists == edit(store, Files(str(data)), Edits(), 2).lists
    assert Intake(lists=("0001+1",), tasks=3, new=0) == look(store, data)


def test_a_trial_sees_what_lies_beyond_its_limit(store: Store, data: Path) -> None:
    """A file that sorts first pushes another beyond the limit: that has not vanished, and may have changed."""
    trial(store, data, 2)
    (data / "A.mp4").write_text("new")
    assert Intake(lists=("0001",), tasks=2, new=0) == trial(store, data, 2)
    (data / "b.mp4").write_text("longer than before")
    assert Intake(lists=("0001",), tasks=2, new=0, changed=("b.mp4",)) == trial(store, data, 2)
    assert Intake(lists=("0001+1",), tasks=2, new=0, changed=("b.mp4",), again=2) == edit(
        store, Files(str(data)), REDO, 2
    )


def test_a_trial_reports_what_vanished(store: Store, data: Path) -> None:
    """And takes the next one in its place, if it is to be left out."""
    trial(store, data, 2)
    (data / "a.mp4").unlink()
    assert Intake(lists=("0001",), tasks=2, new=0, vanished=("a.mp4",)) == trial(store, data, 2)
    done = edit(store, Files(str(data)), DROP, 2)
    assert ["b.mp4", "c.mp4"] == [row["source"] for row in rows(store, *done.lists)]


def test_what_a_trial_cannot_read_to_its_end_has_not_vanished(store: Store, tmp_path: Path) -> None:
    """A broken line far behind the limit refuses no trial."""
    path = tmp_path / "t.jsonl"
    edit(store, table(path, [{"id": "a"}, {"id": "b"}]), Edits(), 1)
    path.write_text('{"id": "b"}\nbroken\n')
    assert Intake(lists=("0001",), tasks=1, new=0) == edit(store, Jsonl(str(path)), DROP, 1)


def test_foreseeing_writes_nothing_and_finds_the_same(store: Store, data: Path) -> None:
    """Names, and how much is done again."""
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    before = snapshot(Path(store.root))
    seen = foresee(WORLD, store, FOLDER, scan(Files(str(data))), None, REDO)
    assert {} == difference(before, snapshot(Path(store.root)))
    assert attrs.evolve(seen, lists=("0001+1",)) == edit(store, Files(str(data)))


def _redo(number: int, store: Store, data: Path) -> tuple[str, ...]:
    return edit(store, Files(str(data))).lists


def test_redone_by_many_at_once_it_is_one_version(store: Store, data: Path) -> None:
    """The exclusive create decides; the losers read again and find nothing left to do."""
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    assert [("0001+1",)] * 8 == together(_redo, store, data)
    assert ["0001", "0001+1"] == taken(store).lists.names()


def test_redo_interrupted_before_its_list_leaves_the_old_version(store: Store, data: Path) -> None:
    """Nothing half: the same call does it again."""
    look(store, data)
    (data / "a.mp4").write_text("longer than before")
    with pytest.raises(PowerCut):
        take_in(World(filesystem=Interrupted()), store, FOLDER, scan(Files(str(data))), None, REDO)
    assert [1, 1, 1] == [row["size"] for row in rows(store, *list_names(taken(store)))]
    assert ("0001+1",) == edit(store, Files(str(data))).lists


def test_lines_name_the_key() -> None:
    """What was found, an example that any terminal can show, what becomes of it, and what to type."""
    seen = Intake(lists=("0001",), tasks=9, new=0, changed=("b\udcff.mp4", "c"), vanished=("d",), again=9)
    odd = "2 items changed since they were taken in, e.g. 'b\\udcff.mp4'"
    assert [
        "9 tasks",
        f"{odd}; old results stay; changed=redo does them again",
        "1 item no longer there, e.g. 'd'; old results stay; vanished=drop leaves them out",
    ] == attrs.evolve(seen, again=0).lines(Edits())
    assert [
        "9 tasks",
        f"{odd}; done again",
        "1 item no longer there, e.g. 'd'; left out",
        "source shards of 9 tasks are done again because of them",
    ] == seen.lines(Edits(changed="redo", vanished="drop"))


def test_another_calls_redo_is_reported(store: Store, data: Path) -> None:
    """A run whose lists were superseded by somebody else's call takes the new ones over, and says so."""
    first = look(store, data)
    (data / "a.mp4").write_text("longer than before")
    done = edit(store, Files(str(data)))
    assert [] == done.since(first.lists)
    [line] = look(store, data).since(first.lists)
    assert "now 0001+1" in line
    assert [] == look(store, data).since(done.lists)
