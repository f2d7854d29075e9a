"""Small wrong changes to which files are freed, when, and to how they are made again."""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

USES, NEEDS = "store/uses.py", "planning/file_needs.py"

KEEPING: tuple[Mutant, ...] = (
    _mutant(
        "files are freed whoever needs them",
        Edit(USES, "if any(entry.use != ROWS for entry in users.values()) or any(", "if any("),
        scenario="results alone",
        seed=122,
    ),
    _mutant(
        "files are freed before the stage that reads them is complete",
        Edit(NEEDS, "    if any(not by_name[name].complete for name in reach.read):\n        return None\n", ""),
        Edit(
            NEEDS,
            "if by_name[name].done[shard].failed",
            "if shard in by_name[name].done and by_name[name].done[shard].failed",
        ),
        scenario="results alone",
    ),
)
