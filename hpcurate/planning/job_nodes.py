"""Whether a stage can run on several nodes at once: a program that srun starts on each, and nothing else. Pure."""

from __future__ import annotations

from typing import Any

from hpcurate.errors import ConfigError
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.stage import Stage


def check_nodes(key: str, stage: Stage[Any, Any], options: StageOptions, planned: PlannedStage) -> None:
    """Raise ConfigError where it cannot."""
    needs = planned.resources
    if needs.nodes == 1:
        return
    key = f"{key}.resources.nodes={needs.nodes}"
    if stage.one_node:
        raise ConfigError(f"{key}: {stage.one_node}")
    if needs.gpus != int(needs.gpus):
        raise ConfigError(f"{key}: needs whole GPUs of each node, got gpus={needs.gpus:g}")
    if planned.processes > 1:
        raise ConfigError(f"{key}: each node runs it once, got processes={planned.processes}")
    if options.stage_to_node:
        raise ConfigError(f"{key}: an environment is staged to the first node alone; type stage_to_node=false")
    if planned.env.container:
        raise ConfigError(
            f"{key}: srun starts the program, and there is none in the container {planned.env}; leave out env, and "
            "start the container in argv"
        )
