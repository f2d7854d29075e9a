"""Whether a stage can run on several nodes at once: a program that srun starts on each, and nothing else. Pure."""

from __future__ import annotations

from typing import Any

from hpcurate.errors import ConfigError
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Environment
from hpcurate.stage import Resources, Stage


def check_nodes(key: str, stage: Stage[Any, Any], resources: Resources, options: StageOptions) -> None:
    """Raise ConfigError where it cannot."""
    if resources.nodes == 1:
        return
    key = f"{key}.resources.nodes={resources.nodes}"
    if stage.one_node:
        raise ConfigError(f"{key}: {stage.one_node}")
    if resources.gpus != int(resources.gpus):
        raise ConfigError(f"{key}: needs whole GPUs of each node, got gpus={resources.gpus:g}")
    if (options.processes or 1) > 1 or options.workers_per_node:
        raise ConfigError(f"{key}: each node runs it once; leave out processes and workers_per_node")
    if options.stage_to_node:
        raise ConfigError(f"{key}: an environment is staged to the first node alone; type stage_to_node=false")


def check_container(key: str, resources: Resources, env: Environment) -> None:
    """Raise ConfigError where srun would be looked for in a container."""
    if resources.nodes > 1 and env.container:
        raise ConfigError(
            f"{key}.resources.nodes={resources.nodes}: srun starts the program, and there is none in the container "
            f"{env}; leave out env, and start the container in argv"
        )
