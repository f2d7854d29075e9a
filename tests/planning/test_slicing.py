"""Slicing: rows of committed shards become shard lines of about the target size, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.lists import Committed, ShardLine, Slicing, gather_name, read_list, slice_shards, write_list

FILES = PosixFilesystem()
shards_of_weights = st.lists(st.lists(st.integers(0, 9).map(float), max_size=12), max_size=8)
slicings = st.builds(Slicing, tasks=st.integers(0, 10), weight=st.integers(0, 20).map(float))


def committed(ordinal: int, weights: list[float]) -> Committed:
    """A committed shard with rows of these weights."""
    n = len(weights)
    return Committed(f"0001-{ordinal:06d}", f"nonce{ordinal}", n, n, n, 0, 0, sum(weights))


def cut(rows: list[list[float]], slicing: Slicing, start: int = 0) -> list[ShardLine]:
    """Lines for shards given as the weights of their rows."""
    shards = [committed(ordinal, weights) for ordinal, weights in enumerate(rows)]
    by_name = dict(zip([s.shard for s in shards], rows, strict=True))
    return slice_shards("0001", "up-0123", shards, slicing, lambda shard: by_name[shard.shard], start)


def rows_of(line: ShardLine) -> list[tuple[str, int]]:
    """Every (shard, row) of a line, in order."""
    return [(i.shard, row) for i in line.inputs for row in range(i.lo, i.hi)]


@given(shards_of_weights, slicings)
def test_every_row_is_covered_exactly_once_in_order(rows: list[list[float]], slicing: Slicing) -> None:
    """No row is lost, doubled or moved."""
    expected = [(f"0001-{n:06d}", row) for n, weights in enumerate(rows) for row in range(len(weights))]
    assert expected == [row for line in cut(rows, slicing) for row in rows_of(line)]


@given(shards_of_weights, slicings)
def test_bounds_are_kept_wherever_there_is_a_choice(rows: list[list[float]], slicing: Slicing) -> None:
    """Only a single row may be heavier than the target."""
    for line in cut(rows, slicing):
        assert not slicing.tasks or line.count <= slicing.tasks
        assert not slicing.weight or line.weight <= slicing.weight or line.count == 1


@given(shards_of_weights, slicings)
def test_a_line_tells_its_own_sums(rows: list[list[float]], slicing: Slicing) -> None:
    """Count and weight are those of its rows."""
    weight = {(f"0001-{n:06d}", row): w for n, weights in enumerate(rows) for row, w in enumerate(weights)}
    for line in cut(rows, slicing):
        assert (len(rows_of(line)), sum(weight[row] for row in rows_of(line))) == (line.count, line.weight)


@given(shards_of_weights)
def test_a_gather_is_one_line(rows: list[list[float]]) -> None:
    """Whatever the other targets say; nothing at all makes no line."""
    lines = cut(rows, Slicing(tasks=1, weight=1.0, gather=True))
    assert (1 if any(rows) else 0) == len(lines)


def test_small_neighbours_are_merged() -> None:
    """Up to the target, never over it."""
    assert [4, 2] == [line.count for line in cut([[1.0] * 2] * 3, Slicing(tasks=5))]


def test_a_large_shard_is_cut() -> None:
    """At the target."""
    assert [(0, 4), (4, 8), (8, 10)] == [
        (i.lo, i.hi) for line in cut([[1.0] * 10], Slicing(tasks=4)) for i in line.inputs
    ]


def test_a_heavy_shard_is_cut_by_weight() -> None:
    """The rows' own weights decide where."""
    assert [1, 2, 1] == [line.count for line in cut([[5.0, 2.0, 3.0, 4.0]], Slicing(tasks=0, weight=5.0))]


def test_empty_shards_make_no_line() -> None:
    """They would be work for nobody."""
    assert [] == cut([[], [], []], Slicing())


def test_weights_are_read_only_where_a_shard_is_cut() -> None:
    """The usual case reads no manifest."""
    asked: list[str] = []

    def weights(shard: Committed) -> list[float]:
        asked.append(shard.shard)
        return [1.0] * shard.tasks_out

    small, large = committed(0, [1.0] * 3), committed(1, [1.0] * 9)
    slice_shards("0001", "up-0123", [small, large], Slicing(tasks=5), weights)
    assert [large.shard] == asked


def test_ordinals_go_on_from_the_start() -> None:
    """A list with several origins numbers through."""
    assert ["0001-000007", "0001-000008"] == [line.id for line in cut([[1.0], [1.0]], Slicing(tasks=1), start=7)]


def test_other_inputs_are_another_gather() -> None:
    """A shard that was committed again, by another attempt, changes the name."""
    one, two = committed(0, [1.0]), committed(1, [1.0])
    assert 3 == len({gather_name([one]), gather_name([one, two]), gather_name([two, one])})


# -- on disk ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> StageFolder:
    """A stage's folder."""
    return StageFolder(str(tmp_path))


def test_a_list_reads_as_written(folder: StageFolder) -> None:
    """Every line, with its inputs."""
    lines = cut([[1.0] * 10, [], [0.1]], Slicing(tasks=4))
    assert lines == write_list(FILES, folder, "0001", lines) == read_list(FILES, folder, "0001")


def test_the_first_list_stands(folder: StageFolder) -> None:
    """The loser works with the winner's."""
    first, second = cut([[1.0] * 4], Slicing(tasks=2)), cut([[1.0] * 4], Slicing(tasks=3))
    write_list(FILES, folder, "0001", first)
    assert first == write_list(FILES, folder, "0001", second)


def test_a_missing_list_is_none_and_an_empty_one_is_not(folder: StageFolder) -> None:
    """Nothing to do differs from nothing known."""
    write_list(FILES, folder, "0001", [])
    assert ([], None) == (read_list(FILES, folder, "0001"), read_list(FILES, folder, "0002"))


def test_a_list_makes_its_folders_before_it_shows(folder: StageFolder) -> None:
    """Workers create nothing but their own files; one fan holds a thousand shards."""
    write_list(FILES, folder, "0001", cut([[1.0]] * 1001, Slicing(tasks=1)))
    assert ["0001-000", "0001-001"] == sorted(p.name for p in Path(folder.path, "claims").iterdir())
