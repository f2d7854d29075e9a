"""The stage that is replayed: its class and parameters, and the settings that it had, as they are kept and changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from hpcurate.errors import ConfigError
from hpcurate.fields import convert, names_of
from hpcurate.golden.outcomes import Plain
from hpcurate.golden.texts import OUTPUT, map_texts
from hpcurate.golden.values import KeptFile
from hpcurate.named_stage import StageSpec
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Environment, PlannedStage, WeightsRef
from hpcurate.spec import FILE, from_spec
from hpcurate.stage import Stage

__all__ = ["KeptStage"]

KEPT = (
    "device", "prepare", "attempts", "tries", "retry_on", "backoff", "task_timeout", "setup_timeout", "max_memory",
    "max_time", "sbatch",
)  # fmt: skip
"""Settings of a step that its plan has as they are."""
OF_A_PLACE = ("max_memory", "max_time", "sbatch", "env")
"""Settings that hold for one cluster."""


@attrs.define(frozen=True, kw_only=True)
class KeptStage:
    """A stage as a run, or a golden folder, has it."""

    name: str
    spec: StageSpec
    options: Plain
    output: str = ""
    """Folder of the result that its parameters name."""
    publishes: bool = False
    env: Environment | None = None
    """That of the run; None: to be found by name."""
    weights: tuple[WeightsRef, ...] = ()

    @classmethod
    def of_plan(cls, stage: PlannedStage, output: str) -> KeptStage:
        """As a run has it."""
        options: Plain = {name: msgspec.to_builtins(getattr(stage, name)) for name in KEPT}
        options["resources"] = {k: v for k, v in attrs.asdict(stage.resources).items() if v is not None}
        if not stage.relation.whole:
            options["batch_size"] = stage.batch_size
            options["shard_tasks"] = getattr(getattr(stage.relation, "slicing", None), "tasks", None)
        return cls(
            name=stage.name, spec=stage.spec, options=options, output=output, publishes=stage.publishes, env=stage.env,
            weights=stage.weights,
        )  # fmt: skip

    def plain(self) -> Plain:
        """As a golden folder keeps it: input files are `KeptFile`s, and nothing is of one cluster."""
        options = {name: value for name, value in self.options.items() if name not in OF_A_PLACE}
        parameters = map_texts(self.spec.parameters, lambda text: _moved(text, self.output, OUTPUT))
        beside = {"publishes": self.publishes, "options": options}
        return {"name": self.name, "target": self.spec.target, "parameters": _kept(parameters), **beside}

    @classmethod
    def of_plain(cls, plain: Plain) -> KeptStage:
        """As a golden folder has it."""
        return cls(
            name=str(plain["name"]),
            spec=StageSpec(plain["target"], _with_paths(plain["parameters"])),
            options=dict(plain.get("options", {})),
            output=OUTPUT,
            publishes=bool(plain.get("publishes")),
        )

    def made(self, changes: Mapping[str, Any], output: str) -> tuple[Stage[Any, Any], StageOptions]:
        """The stage with the code of this process, writing to the folder `output`, and its settings.

        `changes` are settings and parameters by name. Raises PipelineError, ConfigError.
        """
        names, options, parameters = names_of(StageOptions), dict(self.options), dict(self.spec.parameters)
        for key, value in changes.items():
            top, _, inner = key.removeprefix(f"stages.{self.name}.").partition(".")
            place = options if top in names else parameters
            if inner and not isinstance(place.get(top, {}), dict):
                raise ConfigError(f"{key}: expected a setting of {self.name}, or a parameter of its class, by its name")
            place[top] = {**place.get(top, {}), inner: value} if inner else value
        if self.output:  # one that a run has published to is no place for a trial
            parameters = map_texts(parameters, lambda text: _moved(text, self.output, output))
        if self.publishes and parameters == self.spec.parameters:
            raise ConfigError(f"{self.name}: writes outside of the store, where a replay would replace what is there")
        stage = from_spec(StageSpec(self.spec.target, parameters))
        return stage, convert(StageOptions, options, f"stages.{self.name}")


def _moved(text: str, folder: str, to: str) -> str:
    inside = folder and (text == folder or text.startswith(f"{folder}/"))
    return to + text.removeprefix(folder) if inside else text


def _kept(value: Any) -> Any:
    """Parameters with their input files as `KeptFile`s."""
    if isinstance(value, dict) and set(value) == {FILE}:
        return KeptFile(value[FILE]["path"])
    if isinstance(value, dict):
        return {name: _kept(inner) for name, inner in value.items()}
    return [_kept(inner) for inner in value] if isinstance(value, list) else value


def _with_paths(value: Any) -> Any:
    if isinstance(value, KeptFile):
        return value.path
    if isinstance(value, dict):
        return {name: _with_paths(inner) for name, inner in value.items()}
    return [_with_paths(inner) for inner in value] if isinstance(value, list) else value
