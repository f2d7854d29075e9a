"""The protocol under simulation: thousands of schedules of the real code on a site where anything may go wrong."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Tally, many, tasks_of
from tests.simulation.scenarios import SCENARIOS


def _check(tally: Tally) -> None:
    print(tally)
    found = [f"{one.violation[:500]}\n  {one.replay}" for one in tally.violations[:5]]
    assert not found, f"{len(tally.violations)} of {len(tally.played)} episodes:\n" + "\n".join(found)


def test_no_schedule_breaks_an_invariant() -> None:
    """Each scenario with many seeds: `python -m tests.simulation run` does the same."""
    _check(many(tasks_of(list(SCENARIOS), range(100))))


@pytest.mark.long
def test_no_schedule_of_very_many_breaks_an_invariant() -> None:
    """The long campaign."""
    _check(many(tasks_of(list(SCENARIOS), range(100, 14000))))
