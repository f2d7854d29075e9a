"""Small wrong changes to who waits for whom, and to the values for which lists are made."""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

LIVE, RELATIONS, CUTTING = "runs/live.py", "planning/relations.py", "planning/cutting.py"

RESULTS: tuple[Mutant, ...] = (
    _mutant(
        "a list is not named by the value that it is for",
        Edit(RELATIONS, "if results else name", "if False else name"),
        scenario="a result",
        growth=2,
    ),
    _mutant(
        "a shard is not named by the value that it is for",
        Edit(CUTTING, "content_id([*parts, *map(astuple, above), *named_by(results)])", "content_id(parts)"),
        scenario="a result",
        growth=2,
    ),
    _mutant(
        "a list is made before what its stage needs is complete",
        Edit(LIVE, "for name in {*stage.needs, *", "for name in {*"),
        scenario="a result",
    ),
)
