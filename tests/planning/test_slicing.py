"""Slicing: rows of committed shards become shard lines of about the target size, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpcurate.planning.relations import Slices, Upstream
from hpcurate.planning.slicing import LEAST_SHARDS, Slicing, pieces
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import Committed

shards_of_weights = st.lists(st.lists(st.integers(0, 9).map(float), max_size=12), max_size=8)
slicings = st.builds(Slicing, tasks=st.integers(0, 10), weight=st.integers(0, 20).map(float), batch=st.integers(0, 4))
BOUNDS = Slicing(tasks=5, batch=0)


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
    assert [4, 2] == [line.count for line in cut([[1.0] * 2] * 3, BOUNDS)]


def test_a_large_shard_is_cut() -> None:
    """At the target."""
    assert [(0, 4), (4, 8), (8, 10)] == [
        (i.lo, i.hi) for line in cut([[1.0] * 10], Slicing(tasks=4, batch=4)) for i in line.inputs
    ]


def test_a_heavy_shard_is_cut_by_weight() -> None:
    """The rows' own weights decide where."""
    assert [1, 2, 1] == [line.count for line in cut([[5.0, 2.0, 3.0, 4.0]], Slicing(tasks=0, weight=5.0, batch=0))]


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
    Slices(BOUNDS).lines("0001", (Upstream("up-0123", {"0001": [small, large]}),), weights)
    assert [f"up-0123 {large.shard}"] == asked


# -- few rows ---------------------------------------------------------------------------------------


@given(shards_of_weights, slicings)
def test_few_rows_make_as_many_shards_as_batches(rows: list[list[float]], slicing: Slicing) -> None:
    """Or 64, so that all workers have work until the last item; without a batch, as few as the bounds allow."""
    count = sum(map(len, rows))
    together = min(filter(None, (slicing.batch, slicing.tasks)), default=0) if slicing.batch else count
    assert len(cut(rows, slicing)) >= min(LEAST_SHARDS, -(-count // max(1, together)))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 200))
def test_many_rows_are_cut_as_the_bounds_say(sizes: list[int], tasks: int, more: int) -> None:
    """What makes enough shards anyway is cut as if there were no least number of them."""
    rows = [[1.0] * size for size in [*sizes, tasks * LEAST_SHARDS + more]]
    bounded, batched = Slicing(tasks=tasks, batch=0), Slicing(tasks=tasks, batch=1)
    assert cut(rows, bounded) == cut(rows, batched)


@given(st.integers(1, 700), st.integers(2, 40))
def test_batches_stay_whole(count: int, batch: int) -> None:
    """Few rows are shared out by the batch, so that there are as few calls as in one shard."""
    found = pieces([1.0] * count, Slicing(tasks=0, batch=batch))
    assert all(len(one) % batch == 0 for one in found[:-1])
    assert len(found) == min(LEAST_SHARDS, -(-count // batch))


def test_few_tasks_are_a_shard_each() -> None:
    """Twelve videos are work for twelve workers, whatever the bounds."""
    videos = [float(seconds) for seconds in range(1, 13)]
    assert [1] * 12 == [line.count for line in cut([videos], Slicing(tasks=64, weight=600.0))]


def test_shards_of_few_rows_have_about_the_same_weight() -> None:
    """Not the same number of rows: here every fifth weighs as much as forty others."""
    weights = [40.0 if row % 5 == 0 else 1.0 for row in range(200)]
    found = [sum(weights[one.start : one.stop]) for one in pieces(weights, Slicing())]
    assert (64, 48.0) >= (len(found), max(found))


def test_rows_without_weight_are_shared_out_by_their_number() -> None:
    """Nothing is known of them."""
    assert {1, 2} == {len(one) for one in pieces([0.0] * 100, Slicing())}


def test_what_grows_is_cut_by_itself() -> None:
    """One new task is one shard, and the lines of the upstream lists beside it stay."""
    old, new = committed(0, [1.0] * 70), committed(1, [1.0])
    relation, other = Slices(), Upstream("other-0123", {"0001": [committed(2, [1.0] * 3)]})
    made = [
        relation.lines("join.0123456789", (Upstream("up-0123", lists), other), lambda _, shard: [1.0] * shard.tasks_out)
        for lists in ({"0001": [old]}, {"0001": [old], "0002": [new]})
    ]
    assert {line.id for line in made[0]} < {line.id for line in made[1]}
    assert [64 + 3, 64 + 1 + 3] == list(map(len, made))
