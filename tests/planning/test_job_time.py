"""`resources.time=auto`: short jobs, which a scheduler starts sooner, and in which no shard is cut off (R15)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planned import planned

from hpcurate.planning.job_time import LONGEST_S, SHORTEST_S, Load, job_seconds, with_time
from hpcurate.planning.plan import limits_of, most_of
from hpcurate.stage import Resources
from hpcurate.units import minutes
from hpcurate.worker.deadline import PREDICTION_MARGIN

AUTO = msgspec.structs.replace(planned(), resources=Resources(time="auto"))


def test_while_nothing_is_known_it_is_half_an_hour_or_what_the_partition_allows() -> None:
    """So that a first round starts soon; what is not done in it gets a round with more."""
    assert 30 * 60 == job_seconds(Load(weight=1e9, heaviest=1e6), 1)
    assert 30 * 60 == limits_of(with_time(AUTO, Load(), 8, 0.0)).ordinary.seconds
    assert "20m" == with_time(AUTO, Load(), 8, most_of(AUTO, 0, 1200.0).seconds).resources.time


@pytest.mark.parametrize(
    ("weight", "heaviest", "processes", "expected"),
    [
        (10, 1, 10, 600),
        (3600, 100, 10, 900),
        (36000, 100, 10, 7500),
        (3.6e6, 100, 10, 4 * 3600),
        (3.6e6, 20000, 10, 40200),
    ],
)
def test_enough_for_the_heaviest_and_for_a_share_of_the_rest(
    weight: float, heaviest: float, processes: int, expected: float
) -> None:
    """One second a unit: short where little is left, a few hours where much is, more only for a single shard."""
    assert expected == job_seconds(Load(weight=weight, heaviest=heaviest, seconds_per_weight=1.0), processes)


@given(
    st.floats(0, 1e7), st.floats(0, 1), st.floats(1e-3, 1e3), st.integers(1, 1000), st.sampled_from([0.0, 600, 86400])
)
def test_no_shard_is_cut_off_by_a_time_that_was_chosen(
    weight: float, share: float, each: float, processes: int, most: float
) -> None:
    """A fresh worker begins the heaviest one, unless the partition is too short for it; never more than that has."""
    load = Load(weight=weight, heaviest=weight * share, seconds_per_weight=each)
    got = minutes(with_time(AUTO, load, processes, most).resources.time) * 60
    assert not most or got <= most
    assert got == most or got >= load.heaviest * each * PREDICTION_MARGIN
    assert SHORTEST_S <= got or got == most
    assert got <= LONGEST_S + 300 or got <= 2 * load.heaviest * each + 420


def test_a_time_that_was_typed_stays() -> None:
    """Whatever is left."""
    stage = planned()
    assert stage == with_time(stage, Load(weight=1e9, heaviest=1e6, seconds_per_weight=1.0), 1, 600.0)
