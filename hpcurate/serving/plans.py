"""What answers a request: the steps that it goes through, planned for the parameters that it gives."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from hpcurate.named_stage import StageSpec
from hpcurate.planning.plan import Plan
from hpcurate.stage import Stage
from hpcurate.stage_process.adjusting import can_adjust
from hpcurate.task import Task

__all__ = ["PlannedStep", "Planner", "Way", "fits", "same_spec"]


class PlannedStep(msgspec.Struct, frozen=True):
    """Stages that run in one process."""

    name: str
    """Of the last of them."""
    plan: Plan
    stage: Stage[Any, Any]
    """Constructed, and not set up: what parameters it has."""
    returns: type[Task]


class Way(msgspec.Struct, frozen=True):
    """The steps of a request, in order."""

    takes: type[Task]
    steps: tuple[PlannedStep, ...]


class Planner(Protocol):
    """Plans a request."""

    def plan(self, parameters: dict[str, Any]) -> Way:
        """For these parameters, by `stage.parameter`; the others are the served ones.

        Raises UserError whose message begins with the key.
        """


def same_spec(one: StageSpec, other: StageSpec) -> bool:
    """Whether the parameters are the same, also in their types: 1 is not True, and NaN is NaN. Pure."""
    return repr(one) == repr(other)


def fits(process: PlannedStep, wanted: PlannedStep) -> bool:
    """Whether the process of a step can take a request as it is, perhaps with other values of parameters. Pure."""
    mine, other = process.plan.stage, wanted.plan.stage
    same = (mine.weights, mine.env, mine.device, mine.takes) == (other.weights, other.env, other.device, other.takes)
    if not same or same_spec(mine.spec, other.spec):
        return same
    return mine.prepare == "threads" and can_adjust(process.stage, wanted.stage)
