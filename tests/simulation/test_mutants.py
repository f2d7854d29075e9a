"""The simulation catches what is wrong: small wrong changes to the protocol, each of which it has to find."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.simulation.found import FOUND
from tests.simulation.hunting import MUTANTS, ROOT, Outcome, changed_sources
from tests.simulation.mutants import Edit, Mutant


@pytest.mark.parametrize(("options", "mutants"), [((), MUTANTS), (("--found",), FOUND)])
def test_each_wrong_change_is_caught(options: tuple[str, ...], mutants: tuple[Mutant, ...]) -> None:
    """None survives, each breaks an invariant, and the code as it is passes with the same seeds.

    Likewise what was wrong in the protocol until the simulation found it.
    """
    command = [sys.executable, "-m", "tests.simulation.hunting", "--json", *options]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert not done.returncode, done.stderr
    outcomes = [Outcome(**plain) for plain in json.loads(done.stdout)]
    print(*outcomes, sep="\n")
    assert not [str(one) for one in outcomes if one.control]
    assert not [str(one) for one in outcomes if not re.match(r"I\d", one.violation)]
    assert {mutant.name for mutant in mutants} == {one.name for one in outcomes}


def test_a_change_whose_place_is_gone_is_told() -> None:
    """A mutant that no longer changes anything would survive, or, worse, be caught by chance."""
    mutant = Mutant(name="m", edits=(Edit("failures.py", "no such text", ""),), scenario="one run")
    with pytest.raises(ValueError, match="this 0 times"):
        changed_sources(mutant)
