"""Bins and order: every sample has one bin, the same wherever it is asked for."""

from __future__ import annotations

import math
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate.errors import ConfigError
from hpcurate.task import Task
from stages.shards.bins import Bins, bin_of, check_bins, nearest, part_of
from stages.shards.order import Limits, fitting, key_of, shuffled

SIDES = st.integers(1, 8192)
COSMOS = (("9:16", 0.65), ("3:4", 0.88), ("1:1", 1.16), ("4:3", 1.55), ("16:9", 10.0))
"""Cosmos-Curate's upper bounds of width / height."""


@pytest.mark.parametrize(
    ("width", "height", "seconds", "expected"),
    [
        (1920, 1080, 7.0, "16x9/1080p/5-10s"),
        (1080, 1920, 4.999, "9x16/1080p/under5s"),
        (1280, 720, 5.0, "16x9/720p/5-10s"),
        (640, 480, 30.0, "4x3/480p/from30s"),
        (320, 320, 29.9999999, "1x1/under480p/from30s"),  # a microsecond is the precision of times
        (3840, 2160, 10.0, "16x9/2160p/10-30s"),
        (1000, 1333, None, "3x4/720p"),
    ],
)
def test_a_sample_has_a_folder(width: int, height: int, seconds: float | None, expected: str) -> None:
    """By shape, shorter side and length; what is no video has no length."""
    assert bin_of(Bins(), width, height, seconds) == expected


def test_levels_can_be_left_out_and_set() -> None:
    """An empty list tells nothing apart; bounds may be halves of a second."""
    assert bin_of(Bins(ratios=(), sides=(), seconds=()), 640, 480, 2.0) == "all"
    assert bin_of(Bins(ratios=(), sides=(), seconds=(0.5, 2.5)), 640, 480, 2.0) == "0.5-2.5s"


@given(SIDES, SIDES, st.floats(0, 1e6))
def test_every_size_and_length_has_the_bin_of_its_bounds(width: int, height: int, seconds: float) -> None:
    """The nearest ratio by a search over logarithms, the greatest side and length that are reached."""
    shape, side, length = bin_of(Bins(), width, height, seconds).split("/")
    ratio = Fraction(*map(int, shape.split("x")))
    far = {one: abs(math.log(width / height * one.denominator / one.numerator)) for one in map(_ratio, Bins().ratios)}
    assert far[ratio] <= min(far.values()) + 1e-9
    low = 0 if side.startswith("under") else int(side[:-1])
    assert low == max([0, *(bound for bound in Bins().sides if bound <= min(width, height))])
    assert length == _length(round(seconds, 6))


@given(SIDES, SIDES)
def test_shapes_are_those_of_cosmos_curate_but_near_a_bound(width: int, height: int) -> None:
    """Its bounds are rounded geometric means."""
    value = width / height
    if value < 10 and all(abs(value / bound - 1) > 0.02 for _, bound in COSMOS):
        assert nearest(Bins().ratios, width, height) == next(ratio for ratio, bound in COSMOS if value <= bound)


@pytest.mark.parametrize(
    ("bins", "said"),
    [
        (Bins(ratios=("16/9",)), "expected width:height"),
        (Bins(sides=(720, 480)), "bins.sides"),
        (Bins(seconds=(0.0, 5.0)), "bins.seconds"),
    ],
)
def test_bounds_that_are_none_are_refused(bins: Bins, said: str) -> None:
    """With the key."""
    with pytest.raises(ConfigError, match=said):
        check_bins(bins)


@attrs.define(kw_only=True)
class Sample(Task):
    """Nothing but an id."""


@given(st.lists(st.text(), unique=True, max_size=30), st.randoms(), st.integers(0, 3))
def test_the_order_depends_on_seed_and_ids_alone(ids: list[str], random, seed: int) -> None:  # type: ignore[no-untyped-def]
    """However the samples arrive; also ids that no file system takes."""
    tasks = [Sample(id=one) for one in ids]
    mixed = random.sample(tasks, len(tasks))
    assert shuffled(tasks, seed) == shuffled(mixed, seed)
    assert len({key_of(one) for one in ids}) == len(ids)
    assert all("." not in key_of(one) and "/" not in key_of(one) and key_of(one) for one in ids)


def test_another_seed_is_another_order_and_parts_are_even() -> None:
    """1000 samples in 4 parts: 250 each, more or less."""
    tasks = [Sample(id=str(number)) for number in range(1000)]
    assert shuffled(tasks, 0) != shuffled(tasks, 1) != tasks
    parts = [part_of(task.id, 4) for task in tasks]
    assert sorted(set(parts)) == [f"part-{number:04d}-of-0004" for number in range(4)]
    assert all(200 < parts.count(part) < 300 for part in set(parts))


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 100), st.integers(1, 9))
def test_a_file_is_as_full_as_it_may_be(sizes: list[int], size: int, samples: int) -> None:
    """One sample always fits; no more than bytes and samples allow, and not one less."""
    count = len(list(fitting(((one, one) for one in sizes), Limits(size, samples), overhead=10)))
    assert 1 <= count <= max(1, samples)
    assert count == 1 or 10 + sum(sizes[:count]) <= size
    assert count in (len(sizes), samples) or 10 + sum(sizes[: count + 1]) > size


def _ratio(text: str) -> Fraction:
    return Fraction(*map(int, text.split(":")))


def _length(seconds: float) -> str:
    names = [(5, "under5s"), (10, "5-10s"), (30, "10-30s")]
    return next((name for bound, name in names if seconds < bound), "from30s")
