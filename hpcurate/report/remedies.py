"""What gives tasks that failed more than they had: one command for each cause, with a value that is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpcurate.failures import AttemptEnd, Ending, FailureKind
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import limits_of, worker_shape
from hpcurate.report.dead_letters import Group
from hpcurate.report.run_view import RunView
from hpcurate.runs.commands import retry
from hpcurate.store.evidence import Evidence
from hpcurate.units import memory_value
from hpcurate.verdict import MORE, Allowance

ROOM = 1.25
"""So many times the most that was seen in use is enough."""
NAME = "NAME"
"""Stands for what only the user knows."""


def remedy(view: RunView, group: Group) -> str:
    """The command that may help dead letters of this cause; empty where more of something would not."""
    example = group.example
    stage = view.frozen.pipeline.stage(example.shard.stage)
    kind, store = example.letter.kind, view.run.store.root
    ends = Evidence(example.shard.store).of_open([example.shard.id]).get(example.shard.id, ())
    override = enough(kind, stage, ends, view.frozen.most.get(stage.name))
    if not override:
        return ""
    line = retry(view.frozen.command, view.run.name, store, stage=stage.name, kind=kind)
    return f"{line} {override}" if view.frozen.command.words else f"{line}, and {override}"


def enough(kind: str, stage: PlannedStage, ends: Sequence[AttemptEnd], most: Allowance | None) -> str:
    """The override that gives a task of the stage what it had not enough of; empty where that is nothing. Pure."""
    if kind == FailureKind.OOM.value:
        return _memory(stage, [end for end in ends if end.ending is Ending.OOM], most)
    if kind == FailureKind.TIMEOUT.value and stage.task_timeout:
        return f"stages.{stage.name}.task_timeout={MORE * MORE * stage.task_timeout:g}"  # it had twice as much
    if kind == FailureKind.GPU_OOM.value:
        whole = 0 < stage.resources.gpus < 1
        return f"stages.{stage.name}." + ("resources.gpus=1" if whole else f"sbatch.constraint={NAME}")
    return ""


def _memory(stage: PlannedStage, short: Sequence[AttemptEnd], most: Allowance | None) -> str:
    """Of one stage process: twice what was not enough, or what was seen in use and some room."""
    usual = worker_shape(stage).memory_mb
    had = max((end.memory_mb for end in short), default=0) or usual
    needed = max(MORE * had, math.ceil(ROOM * max((end.peak_mb for end in short), default=0)))
    largest = limits_of(stage, most).most.memory_mb
    if stage.max_memory is None and needed > largest < MORE * MORE * usual:  # no node here has more
        return f"stages.{stage.name}.sbatch.partition={NAME}"
    return f"stages.{stage.name}.resources.memory={memory_value(math.ceil(needed / stage.processes))}"
