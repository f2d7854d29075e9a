"""Shard lists on disk: written once, whole, and the first one stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from together import together

from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, shard_id
from hpcurate.store.lists import Input, Lists, ShardLine

FILES = PosixFilesystem()


def lines_of(count: int, rows: int = 4) -> list[ShardLine]:
    """So many lines of one list, of so many rows each."""
    return [
        ShardLine(shard_id("0001", n), 0.1 * rows, rows, (Input("up-0123", f"0001-{n:06d}", f"nonce{n}", 0, rows),))
        for n in range(count)
    ]


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    """A stage's lists."""
    return Lists(FILES, StageFolder(str(tmp_path)))


def test_a_list_reads_as_written(lists: Lists) -> None:
    """Every line, with its inputs."""
    lines = lines_of(3)
    assert lines == lists.write("0001", lines) == lists.read("0001")


def test_the_first_list_stands(lists: Lists) -> None:
    """The loser works with the winner's."""
    first, second = lines_of(2), lines_of(4, rows=2)
    lists.write("0001", first)
    assert first == lists.write("0001", second)


def _write(number: int, folder: StageFolder) -> list[ShardLine]:
    return Lists(FILES, folder).write("0001", lines_of(number + 1))


def test_eight_processes_work_with_one_list(tmp_path: Path) -> None:
    """Whoever was first."""
    found = together(_write, StageFolder(str(tmp_path)))
    assert [found[0]] * 8 == found


def test_a_missing_list_is_none_and_an_empty_one_is_not(lists: Lists) -> None:
    """Nothing to do differs from nothing known."""
    lists.write("0001", [])
    assert ([], None) == (lists.read("0001"), lists.read("0002"))


def test_a_list_makes_its_folders_before_it_shows(tmp_path: Path, lists: Lists) -> None:
    """Workers create nothing but their own files; one fan holds a thousand shards."""
    lists.write("0001", lines_of(1001))
    for kind in ("claims", "shards"):
        assert ["0001-000", "0001-001"] == sorted(p.name for p in (tmp_path / kind).iterdir())


def test_the_names_of_the_lists_are_sorted(tmp_path: Path, lists: Lists) -> None:
    """Strangers and temporary files beside them do not count."""
    for name in ("0002", "0001", "all.deadbeef"):
        lists.write(name, [])
    for stranger in (".0003.jsonl.7f3a", "notes.txt"):
        (tmp_path / "lists" / stranger).write_text("")
    assert ["0001", "0002", "all.deadbeef"] == lists.names()


def test_a_stage_without_lists_has_none(lists: Lists) -> None:
    """Nothing to list is no error."""
    assert [] == lists.names()
