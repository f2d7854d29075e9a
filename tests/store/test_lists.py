"""Shard lists on disk: written once, whole, and the first one stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from together import together

from hpcurate.errors import StoreError
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder, fan_of, shard_id
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


def test_a_list_is_opened_not_looked_for(tmp_path: Path) -> None:
    """A listing may be older than the list. Before: a list that a stale listing lacked was none, and had 0 shards."""

    class Stale(PosixFilesystem):
        def names(self, folder: str) -> list[str]:
            return []

    lists, lines = Lists(Stale(), StageFolder(str(tmp_path))), lines_of(2)
    assert (lines, lines, ["0001"]) == (lists.write("0001", lines), lists.read("0001"), lists.versions("0001"))


def test_versions_are_in_the_order_of_their_numbers(lists: Lists) -> None:
    """Those of other lists are not among them; the first is, before it is made."""
    for name in ("0001+10", "0001+2", "0001", "00011", "0002+1", "0003@up-1+side-0123"):
        lists.write(name, [])
    assert ["0001", "0001+2", "0001+10"] == lists.versions("0001")
    assert (["0002", "0002+1"], ["0004"]) == (lists.versions("0002"), lists.versions("0004"))


@pytest.mark.parametrize("content", [b"{", b'{"id":"0001-000000"}', b"\xff\xfe", b'{"id":1,"weight":1.0,"count":1}'])
def test_a_damaged_list_is_named(tmp_path: Path, lists: Lists, content: bytes) -> None:
    """With what to do about it. Before: a traceback."""
    lists.write("0001", lines_of(2))
    (tmp_path / "lists" / "0001.jsonl").write_bytes(content)
    with pytest.raises(StoreError, match=r"lists/0001\.jsonl: is not a shard list .* type the run's command again"):
        lists.read("0001")


@pytest.mark.parametrize(
    ("shard", "fan"), [("0001-000042", "0001-000"), ("0001+1-001042", "0001+1-001"), ("3f9c" + "0" * 16, "3f9")]
)
def test_the_fan_of_a_shard_is_seen_from_its_id(shard: str, fan: str) -> None:
    """Ordinals: a thousand a folder; digests: 4096 folders."""
    assert fan == fan_of(shard)
