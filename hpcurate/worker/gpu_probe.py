"""Whether a worker has the GPUs that its stage needs, asked before anything is copied or loaded."""

from __future__ import annotations

import os
from collections.abc import Callable

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import worker_shape
from hpcurate.system.clock import Clock
from hpcurate.system.gpus import Gpus, NoDriver, Nvml


def visible_gpus() -> tuple[str, ...] | None:
    """Tokens of those that this worker was given; None where nobody said, and it may use all."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if given is None else tuple(device for device in given.split(",") if device)


ANSWER_S = 60.0
"""How long a driver may take; one whose GPU has fallen off the bus may never answer."""


def look_at_gpus(stage: PlannedStage, node: str, clock: Clock, driver: Callable[[], Gpus] = Nvml) -> str:
    """Why this worker cannot run the stage; empty if it can."""
    found: list[str] = []

    def look() -> None:
        try:
            found.append(problem(stage, node, visible_gpus(), driver()))
        except NoDriver as error:
            found.append(sees_none(stage, node, str(error)))

    clock.start(look, "gpu probe").join(ANSWER_S)
    return found[0] if found else bad(stage, node, "the GPU driver", f"no answer in {ANSWER_S:.0f} s")


def problem(stage: PlannedStage, node: str, given: tuple[str, ...] | None, gpus: Gpus) -> str:
    """What is wrong with the GPUs of a worker; empty if nothing is. Pure, but for asking them."""
    tokens = gpus.tokens() if given is None else given
    if not tokens or not gpus.tokens():
        return sees_none(stage, node, "CUDA_VISIBLE_DEVICES is empty" if given == () else "its driver shows none")
    needed = worker_shape(stage).gpus
    if len(tokens) < needed:
        return f"{_needs(stage)}, a worker {needed} GPUs, and that on {node} was given {len(tokens)}; {_cpu(stage)}"
    for token in tokens:
        fault = gpus.fault(token)
        if fault:
            return bad(stage, node, f"GPU {token}", fault)
    return ""


def sees_none(stage: PlannedStage, node: str, why: str) -> str:
    """Where CUDA is required and there is no GPU. Pure."""
    return f"{_needs(stage)}, and its worker on {node} sees no GPU: {why}; {_cpu(stage)}"


def bad(stage: PlannedStage, node: str, what: str, fault: str) -> str:
    """Where the node is to blame. Pure."""
    return (
        f"{what} of node {node} does not answer as it should: {fault}; leave the node out with "
        f"stages.{stage.name}.sbatch.exclude={node}, and tell the site"
    )


def _needs(stage: PlannedStage) -> str:
    return f"stage {stage.name} needs CUDA (resources.gpus={stage.resources.gpus:g})"


def _cpu(stage: PlannedStage) -> str:
    return f"to run it without one type stages.{stage.name}.device=cpu"
