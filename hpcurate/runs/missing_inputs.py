"""Inputs that a stage does not get, because they ended as dead letters in the stages above. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.units import plural

__all__ = ["MissingInputs", "stages_above"]


class MissingInputs(msgspec.Struct, frozen=True):
    """How many, and where they ended; a dead letter counts as one input, whatever would have been made of it."""

    by: Mapping[str, int]
    """Stage → its dead letters."""
    given: int
    """Inputs that there are."""

    @property
    def count(self) -> int:
        """All together."""
        return sum(self.by.values())

    def __str__(self) -> str:
        of = list(self.by) if len(self.by) == 1 else [f"{count} of {name}" for name, count in self.by.items()]
        where = f"dead letters of {of[0]}" if len(of) == 1 else f"dead letters: {', '.join(of)}"
        is_are = "is" if self.count == 1 else "are"
        return f"{self.count} of {plural(self.given + self.count, 'input')} {is_are} missing ({where})"


def stages_above(stage: PlannedStage, stages: Sequence[PlannedStage]) -> list[PlannedStage]:
    """All that the stage's tasks went through, in order. `stages`: of the pipeline, in topological order."""
    above = set(stage.after)
    for one in reversed(stages):
        above |= set(one.after) if one.name in above else set()
    return [one for one in stages if one.name in above]
