"""Slicing: rows of committed shards become shard lines of about the target size, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcurate.planning.relations import Slices, Upstream
from hpcurate.planning.slicing import Slicing, pieces
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import Committed

shards_of_weights = st.lists(st.lists(st.integers(0, 9).map(float), max_size=12), max_size=8)
slicings = st.builds(Slicing, tasks=st.integers(0, 10), weight=st.integers(0, 20).map(float))


def committed(ordinal: int, weights: list[float]) -> Committed:
    """A committed shard with rows of these weights."""
    n = len(weights)
    return Committed(
        shard=f"0001-{ordinal:06d}", nonce=f"nonce{ordinal}", tasks_in=n, tasks_out=n, passed=n, weight_out=sum(weights)
    )


def cut(rows: list[list[float]], slicing: Slicing) -> list[ShardLine]:
    """Lines for shards given as the weights of their rows."""
    shards = [committed(ordinal, weights) for ordinal, weights in enumerate(rows)]
    by_name = dict(zip([s.shard for s in shards], rows, strict=True))
    parts = (Upstream("up-0123", {"0001": shards}),)
    return Slices(slicing).lines("0001", parts, lambda stage, shard: by_name[shard.shard])


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


@given(shards_of_weights, slicings)
def test_a_line_names_each_shard_once(rows: list[list[float]], slicing: Slicing) -> None:
    """Neighbouring rows of one shard are one range, with its stage and nonce."""
    for line in cut(rows, slicing):
        found = [(i.stage, i.shard, i.nonce) for i in line.inputs]
        assert [("up-0123", i.shard, f"nonce{int(i.shard[-6:])}") for i in line.inputs] == found
        assert len(found) == len(set(found))


@given(st.lists(st.integers(0, 9).map(float), max_size=30), slicings)
def test_counting_makes_as_many_shards_as_cutting(weights: list[float], slicing: Slicing) -> None:
    """What a dry run foresees is what a run cuts: rows one a shard."""
    rows = [[weight] for weight in weights]
    made = [[int(shard[-6:]) for shard, _ in rows_of(line)] for line in cut(rows, slicing)]
    assert made == [list(part) for part in pieces(weights, slicing)]


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

    def weights(stage: str, shard: Committed) -> list[float]:
        asked.append(f"{stage} {shard.shard}")
        return [1.0] * shard.tasks_out

    small, large = committed(0, [1.0] * 3), committed(1, [1.0] * 9)
    Slices(Slicing(tasks=5)).lines("0001", (Upstream("up-0123", {"0001": [small, large]}),), weights)
    assert [f"up-0123 {large.shard}"] == asked
