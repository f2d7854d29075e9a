"""A seed is a schedule: the same one in any process, so that what it found can be looked at again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.hunting import ROOT


def _played(scenario: str, hashing: str) -> str:
    words = ["-m", "tests.simulation", "replay", "--scenario", scenario, "--seed", "45"]
    environment = {**os.environ, "PYTHONHASHSEED": hashing}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize("scenario", ["a changed input", "purge", "local, killers"])
def test_the_same_seed_gives_the_same_trace(scenario: str) -> None:
    """Every step of every actor, and all that they saw; also where sets have another order."""
    assert _played(scenario, "1") == _played(scenario, "2")
