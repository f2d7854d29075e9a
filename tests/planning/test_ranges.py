"""Hash ranges: which keys make one shard of a group stage."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate.planning.ranges import WIDEST, HashRange, hash_ranges
from hpcurate.planning.slicing import Slicing
from hpcurate.store.order import BUCKETS, Order

FEW = settings(max_examples=40)
Rows = dict[int, int]
"""Bucket → rows with keys in it."""
buckets = st.one_of(st.integers(0, BUCKETS - 1), st.integers(0, 7), st.sampled_from((63, 64, 2047, 2048, BUCKETS - 1)))
rows = st.dictionaries(buckets, st.integers(1, 9), max_size=12)
slicings = st.builds(
    Slicing, tasks=st.integers(0, 9), weight=st.integers(0, 9).map(float), batch=st.sampled_from((0, 1, 4, 100))
)


def order(found: Rows, weight: float = 1.0) -> Order:
    """Of a sorted shard with these rows of that weight, each of ten bytes."""
    known = sorted(found)
    counts = [found[bucket] for bucket in known]
    return Order(known, counts, [10 * n for n in counts], [weight * n for n in counts])


def ranges(found: list[Rows], slicing: Slicing) -> list[HashRange]:
    """Of sorted shards with these rows."""
    return hash_ranges([order(one) for one in found], slicing)


@FEW
@given(st.lists(rows, max_size=3), slicings)
def test_each_bucket_with_rows_is_in_one_range(found: list[Rows], slicing: Slicing) -> None:
    """In order, and no range is without rows: so no key is in two."""
    expected = sum((Counter(one) for one in found), Counter[int]())
    made = ranges(found, slicing)
    assert made == sorted(made, key=lambda one: one.buckets.start)
    assert all(one.buckets.stop <= other.buckets.start for one, other in pairwise(made))
    in_ranges = [bucket for one in made for bucket in sorted(expected) if bucket in one.buckets]
    assert sorted(expected) == in_ranges
    assert [sum(expected[b] for b in one.buckets) for one in made] == [one.rows for one in made]
    assert all(one.rows for one in made)
    assert [float(one.rows) for one in made] == [one.weight for one in made]


@FEW
@given(st.lists(rows, max_size=3), slicings)
def test_a_range_fits_the_bounds_if_its_keys_allow_it(found: list[Rows], slicing: Slicing) -> None:
    """What is too heavy is one bucket, or one row."""
    for one in ranges(found, slicing):
        small = len(one.buckets) <= WIDEST or one.rows <= max(1, slicing.together)
        assert len(one.buckets) == 1 or one.rows == 1 or (small and slicing.fits(one.rows, one.weight))


@FEW
@given(st.lists(rows, min_size=1, max_size=2), rows, slicings)
def test_growth_moves_only_the_ranges_that_it_touches(found: list[Rows], more: Rows, slicing: Slicing) -> None:
    """A range without new rows stays just as it is, whatever happens beside it, and none grows wider."""
    before, after = ranges(found, slicing), ranges([*found, more], slicing)
    untouched = [one for one in before if not any(bucket in one.buckets for bucket in more)]
    assert [one for one in untouched if one not in after] == []
    starts = {one.buckets.start: one.buckets.stop for one in before}
    assert all(one.buckets.stop <= starts.get(one.buckets.start, BUCKETS) for one in after)


@FEW
@given(st.lists(rows, max_size=3), slicings)
def test_how_the_rows_lie_in_shards_does_not_matter(found: list[Rows], slicing: Slicing) -> None:
    """The ranges are those of one shard with all of them."""
    together = sum((Counter(one) for one in found), Counter[int]())
    assert ranges([dict(together)], slicing) == ranges(found, slicing)


def test_a_heavy_key_is_a_range_by_itself() -> None:
    """Its neighbours are not with it, and it is not cut."""
    made = ranges([{100: 1, 101: 5000, 102: 1}], Slicing(tasks=100, batch=100))
    assert [(1, False), (5000, True), (1, False)] == [(one.rows, one.buckets == range(101, 102)) for one in made]


def test_the_weight_counts_too() -> None:
    """Few rows may be too heavy for one range."""
    many = hash_ranges([order({0: 1, BUCKETS - 1: 1}, weight=3.0)], Slicing(tasks=100, weight=5.0, batch=100))
    one = hash_ranges([order({0: 1, BUCKETS - 1: 1}, weight=2.0)], Slicing(tasks=100, weight=5.0, batch=100))
    assert ([3.0, 3.0], [4.0]) == ([found.weight for found in many], [found.weight for found in one])


def test_more_rows_than_one_call_takes_are_work_for_many() -> None:
    """As many ranges as keys allow, up to 64, also where all of it fits into one."""
    spread = dict.fromkeys(range(0, BUCKETS, BUCKETS // 256), 1)
    assert 64 == len(ranges([spread], Slicing(tasks=10_000, batch=1)))
    assert 1 == len(ranges([spread], Slicing(tasks=10_000, batch=1000)))
