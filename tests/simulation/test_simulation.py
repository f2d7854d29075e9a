"""The protocol under simulation: thousands of schedules of the real code on a site where anything may go wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import Tally, many, tasks_of
from tests.simulation.scenarios import SCENARIOS

ALONE, EACH = 9400, 12
"""Seeds of the short scenario, and of each of the others: 10 000 interleavings and more in a minute of two cores."""


def _check(tally: Tally, least: int) -> None:
    print(f"\n{tally}")
    found = [f"{one.violation[:500]}\n  {one.replay}" for one in tally.violations[:20]]
    assert not found, f"{len(tally.violations)} of {len(tally.played)} episodes:\n" + "\n".join(found)
    assert tally.distinct >= least, "the seeds play the same over and over"


def _seeds(alone: range, each: range) -> list[tuple[str, int]]:
    others = [name for name in SCENARIOS if name != "workers alone"]
    return [*tasks_of(others, each), *tasks_of(["workers alone"], alone)]


@pytest.mark.timeout(600)  # it takes 200 s of two cores that have other tests beside it
def test_no_schedule_breaks_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m tests.simulation run` plays more of them, `replay` one again."""
    with capsys.disabled():
        _check(many(_seeds(range(ALONE), range(EACH))), 10_000)


def test_most_branches_of_the_protocol_are_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """By a small sample: `python -m tests.simulation coverage` plays more, and names what is left."""
    command = [sys.executable, "-m", "tests.simulation.branches", "--brief", "--seeds", "0:1"]
    done = subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    with capsys.disabled():
        print(f"\n{done.stdout.strip()}")
    share = re.search(r"\((\d+)%\)", done.stdout)
    assert share is not None
    assert int(share[1]) >= 60


@pytest.mark.long
def test_no_schedule_of_very_many_breaks_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    """The long campaign: other seeds."""
    with capsys.disabled():
        _check(many(_seeds(range(10_000, 192_000), range(1_000, 1_640))), 200_000)
