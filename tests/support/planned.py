"""Planned stages for tests of launchers."""

from __future__ import annotations

from typing import Any

from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import PlannedStage
from stages.hello import LowerCase, Prompts


def planned(**options: Any) -> PlannedStage:
    """A stage with these options."""
    return build("p", Prompts(("a",)), {"one": Step(LowerCase(), StageOptions(**options))}).stages[0]
