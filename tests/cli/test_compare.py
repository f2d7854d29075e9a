"""`hpcurate compare`: two runs side by side."""

from __future__ import annotations

import json

from shell import Shell


def test_compare_sets_two_runs_side_by_side(picky: Shell) -> None:
    """Configuration, counts and drop reasons; what they share."""
    first = json.loads(picky.type("runs", "--json").stdout)[0]["run"]
    picky.run("+pipeline=picky", f"input={picky.folder / 'in'}", "budget.failed=9", "stages.pick.limit=99")
    text = picky.type("compare", first, "latest").stdout
    assert "stages.pick.limit: default → 99" in text
    assert "4 → 0" in text
    plain = json.loads(picky.type("compare", first, first, "--json").stdout)
    assert (plain["config"], plain["shared"]) == ([], ["pick"])
