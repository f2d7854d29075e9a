"""Lines of retries: rows of dead letters, cut as any rows are, and standing as long as what they retry does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate.planning.relations import Gather, Slices
from hpcurate.planning.retries import (
    RetriedRow,
    StandingRetries,
    failed_rows,
    is_live,
    retry_lines,
    retry_name,
    standing_retries,
)
from hpcurate.planning.slicing import Slicing
from hpcurate.store.layout import is_content_named
from hpcurate.store.lists import Input, ShardLine

STAGE = "one-0123"
FEW = settings(max_examples=40)
slicings = st.builds(Slicing, tasks=st.integers(0, 4), weight=st.integers(0, 9).map(float))
shards = st.lists(st.dictionaries(st.integers(0, 5), st.integers(0, 5).map(float), max_size=6), max_size=4)
"""Rows that failed, with their weights, of each shard of six rows."""


def line(number: int) -> ShardLine:
    """A shard of six rows, of two upstream shards."""
    inputs = (Input("up-0123", f"u{number}", "n", 4, 6), Input("up-0123", f"u{number + 1}", "n", 0, 4))
    return ShardLine(f"0001-{number:06d}", 6.0, 6, inputs)


def rows_of(failed: list[dict[int, float]]) -> list[RetriedRow]:
    """What failed of each shard."""
    return [row for n, weights in enumerate(failed) for row in failed_rows(STAGE, line(n), "nonce", weights)]


def sizes(failed: list[dict[int, float]], *gone: int) -> dict[tuple[str, str, str], int]:
    """All committed shards but those."""
    return {(STAGE, line(n).id, "nonce"): 6 for n in range(len(failed)) if n not in gone}


def ends(lines: list[ShardLine]) -> list[tuple[str, int]]:
    """Rows of the stage's own shards that these lines try, in order."""
    return [(i.shard, row) for one in lines for i in one.retries for row in range(i.lo, i.hi)]


@FEW
@given(shards, slicings)
def test_each_row_is_tried_once_by_a_line_of_the_right_size(failed: list[dict[int, float]], slicing: Slicing) -> None:
    """With the row that went in upstream beside it: as many, in the same order."""
    lines = retry_lines(Slices(slicing), rows_of(failed))
    assert [(line(n).id, row) for n, weights in enumerate(failed) for row in sorted(weights)] == ends(lines)
    given = [(i.shard, row) for one in lines for i in one.inputs for row in range(i.lo, i.hi)]
    expected = [
        (f"u{n}", 4 + row) if row < 2 else (f"u{n + 1}", row - 2) for n, w in enumerate(failed) for row in sorted(w)
    ]
    assert expected == given
    assert all(one.count == 1 or slicing.fits(one.count, one.weight) for one in lines)


@FEW
@given(shards, slicings)
def test_the_same_rows_are_the_same_list(failed: list[dict[int, float]], slicing: Slicing) -> None:
    """Named by what is in it, as its lines are."""
    one, two = (retry_lines(Slices(slicing), rows_of(failed)) for _ in range(2))
    assert (one, retry_name(one)) == (two, retry_name(two))
    assert is_content_named(retry_name(one))


@FEW
@given(shards, slicings, st.integers(0, 3))
def test_what_stands_is_tried_and_nothing_twice(failed: list[dict[int, float]], slicing: Slicing, gone: int) -> None:
    """Where a shard was done again its dead letters are none; the lines of the others stay, or are cut again."""
    lines = retry_lines(Slices(slicing), rows_of(failed))
    assert is_live(lines, [], sizes(failed))
    left = standing_retries([lines], [], sizes(failed, gone))
    made = left.lines(Slices(slicing))
    assert sorted(end for end in ends(lines) if end[0] != line(gone).id) == sorted(ends(made))
    assert is_live(made, [], sizes(failed, gone))
    assert left.count == len(ends(made))
    again = standing_retries([lines, made], [], sizes(failed, gone))
    assert StandingRetries(tuple(made)) == again or not again.loose


def test_rows_that_a_list_before_has_are_not_tried_twice() -> None:
    """Two calls at once may have chosen the same."""
    lines = retry_lines(Slices(), rows_of([{1: 1.0, 2: 1.0}]))
    more = retry_lines(Slices(Slicing(tasks=1)), rows_of([{2: 1.0, 3: 1.0}]))
    left = standing_retries([more], lines, sizes([{}]))
    assert [(line(0).id, 3)] == ends(list(left.kept))


def test_a_gather_is_one_line() -> None:
    """With what it was told of the stages above."""
    (one,) = retry_lines(Gather(), rows_of([dict.fromkeys(range(6), 1.0)]))
    assert (line(0).inputs, 6) == (one.inputs, one.count)
