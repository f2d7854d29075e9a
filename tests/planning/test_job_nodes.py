"""resources.nodes: for programs that srun starts, and refused by name before anything is submitted elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from unit_stages import Number, numbers

from hpcurate import Command, Stage
from hpcurate.errors import ConfigError, LauncherError
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Environment, Pipeline
from hpcurate.planning.plan import worker_shape
from hpcurate.source.items import Items
from launchers.inline import InlineLauncher
from launchers.local import LocalLauncher
from launchers.slurm.options import JobSettings


class Plain(Stage[Number, Number]):
    """A stage in Python."""

    version = 1


def planned(stage: Stage[Any, Any] | None = None, env: Environment | None = None, **options: Any) -> Pipeline:
    """It, on two nodes."""
    given = StageOptions(resources={"nodes": 2, **options.pop("resources", {})}, **options)
    stage = stage or Command(["train", "--nodes={nodes}"])
    found = Environment() if env is None else env
    return build("p", Items(numbers(1)), {"train": Step(stage, given)}, environment=lambda asked, staged: found)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stage": Plain()}, "stages.train.resources.nodes=2: only a Command runs on several nodes"),
        ({"resources": {"gpus": 0.5}, "device": "cuda"}, "needs whole GPUs of each node, got gpus=0.5"),
        ({"processes": 2}, "each node runs it once, got processes=2"),
        ({"env": Environment(python=("apptainer", "x.sif"), container=True)}, "start the container in argv"),
    ],
)
def test_what_cannot_run_on_several_nodes_is_refused(wrong: dict[str, Any], said: str) -> None:
    """When the pipeline is built, with what to type."""
    with pytest.raises(ConfigError, match=said):
        planned(**wrong)


def test_a_machine_is_one_node() -> None:
    """It would have run on one, and waited for the other."""
    for launcher in (InlineLauncher(), LocalLauncher()):
        with pytest.raises(LauncherError, match=r"type stages\.train\.resources\.nodes=1, or launcher=slurm"):
            launcher.check(planned(), "/store")


def test_sbatch_is_asked_for_one_task_on_each_node() -> None:
    """With so many cores and so much memory each."""
    stage = planned(resources={"cpus": 3, "memory": "4GB"}).stages[0]
    asked = JobSettings().of_stage(stage, worker_shape(stage), 60)
    assert (2, 1, 3, "4096M") == tuple(asked[key] for key in ("nodes", "ntasks-per-node", "cpus-per-task", "mem"))
