"""Pipelines: stages in a DAG, checked, fingerprinted, and frozen into plain values.

`build` turns live stage objects into a `Pipeline`, which is all that the engine and `pipeline.json` know:
a gate never imports a stage.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import check_values, convert, suggestion
from hpcurate.model import model_names
from hpcurate.planning.fingerprint import digest, stage_identity
from hpcurate.planning.options import Budget, StageOptions
from hpcurate.planning.plan import Environment, Timing, WeightsRef, processes_per_worker, weights_from_json
from hpcurate.source import Source
from hpcurate.spec import StageSpec, from_spec, to_spec
from hpcurate.stage import Resources, Stage, environment_of, members
from hpcurate.stage_process.runner import types_of
from hpcurate.store.lists import Slicing
from hpcurate.store.rows import check_task_type
from hpcurate.task import Task

__all__ = ["Pipeline", "PlannedSource", "PlannedStage", "Step", "build"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@attrs.define(frozen=True)
class Step:
    """An entry of a pipeline, the input of `build`: a live stage and its options."""

    stage: Stage[Any, Any]
    options: StageOptions = attrs.field(factory=StageOptions)


@attrs.define(frozen=True, kw_only=True)
class PlannedSource:
    """The source's place in the store."""

    folder: str
    identity: dict[str, Any]


@attrs.define(frozen=True, kw_only=True)
class PlannedStage:
    """One stage as the engine sees it."""

    name: str
    folder: str
    """`<name>-<fp12>`."""
    fingerprint: str
    identity: dict[str, Any]
    spec: StageSpec
    after: tuple[str, ...]
    """Stages whose output this one reads; empty: the source."""
    resources: Resources
    slicing: Slicing
    env: Environment
    batch_size: int
    workers: int | None
    processes: int
    attempts: int
    task_timeout: float | None
    deterministic: bool
    sbatch: dict[str, Any]
    weights: tuple[WeightsRef, ...] = ()


@attrs.define(frozen=True, kw_only=True)
class Pipeline:
    """A checked pipeline, as plain values."""

    name: str
    source: PlannedSource
    stages: tuple[PlannedStage, ...]
    """In topological order."""
    budget: Budget = Budget()
    timing: Timing = Timing()

    def stage(self, name: str) -> PlannedStage:
        """The stage of that name. Raises ConfigError with the nearest name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ConfigError(f"there is no stage {name!r}; {suggestion(name, [s.name for s in self.stages])}")

    def to_json(self) -> dict[str, Any]:
        """Plain form."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Pipeline:
        """Inverse of `to_json`."""
        return cls(
            name=plain["name"],
            source=PlannedSource(**plain["source"]),
            stages=tuple(_planned(stage) for stage in plain["stages"]),
            budget=Budget(**plain["budget"]),
            timing=Timing(**plain["timing"]),
        )


def _planned(plain: dict[str, Any]) -> PlannedStage:
    special = {
        "spec": StageSpec(**plain["spec"]),
        "resources": Resources(**plain["resources"]),
        "slicing": Slicing(**plain["slicing"]),
        "after": tuple(plain["after"]),
        "env": Environment.from_json(plain["env"]),
        "weights": weights_from_json(plain.get("weights", ())),
    }
    return PlannedStage(**{**plain, **special})


WeightsOf = Callable[[str], WeightsRef]
"""Model name → its weights in the store. Raises ConfigError where there are none."""


def no_weights(name: str) -> WeightsRef:
    """Where nobody brought a registry."""
    raise ConfigError(f"model {name!r}: there is no registry of models here")


EnvironmentOf = Callable[[Any, bool], Environment]
"""(a stage's `env` as written, whether it is staged to the nodes) → how its process is started. Raises ConfigError."""


def own_environment(env: Any, to_node: bool) -> Environment:
    """Where nobody knows of others."""
    if env is not None or to_node:
        raise ConfigError(f"env={env!r}: there are no environments here")
    return Environment()


EpochOf = Callable[[str, str], int]
"""(stage, fingerprint in epoch 0) → how often it has been asked for anew."""


def build(
    name: str,
    source: Source,
    steps: Mapping[str, Step],
    *,
    budget: Budget | None = None,
    timing: Timing | None = None,
    epoch: EpochOf = lambda stage, fingerprint: 0,
    weights: WeightsOf = no_weights,
    environment: EnvironmentOf = own_environment,
) -> Pipeline:
    """Check that the stages fit together and fingerprint them. Touches no storage.

    Raises PipelineError or ConfigError naming the stage and the key.
    """
    if not steps:
        raise ConfigError("stages: a pipeline needs at least one stage")
    after = {stage: _after(stage, list(steps), step.options) for stage, step in steps.items()}
    order = _topological(after)
    _check_types(source, steps, after)
    origin = PlannedSource(folder="", identity=source.identity())
    origin_print = digest({"source": origin.identity})
    origin = attrs.evolve(origin, folder=f"source-{origin_print[:12]}")
    planned: dict[str, PlannedStage] = {}
    for stage in order:
        upstream = [planned[u].fingerprint for u in after[stage]] or [origin_print]
        planned[stage] = _plan(stage, steps[stage], after[stage], upstream, epoch, weights)
        env = _environment(stage, steps[stage], planned[stage].weights, environment)
        planned[stage] = attrs.evolve(planned[stage], env=env)
    return Pipeline(
        name=name,
        source=origin,
        stages=tuple(planned[s] for s in order),
        budget=budget or Budget(),
        timing=timing or Timing(),
    )


def _plan(
    name: str, step: Step, after: tuple[str, ...], upstream: list[str], epoch: EpochOf, weights: WeightsOf
) -> PlannedStage:
    stage, options = step.stage, step.options
    check_values(options, f"stages.{name}")
    read = _weights(name, stage, weights)
    first: dict[str, Any] = {"stage": stage_identity(stage), "upstream": upstream, "epoch": 0}
    if read:
        first["models"] = [one.identity for one in read]
    identity = {**first, "epoch": epoch(name, digest(first))}
    fingerprint = digest(identity)
    resources = _resources(name, stage.resources, options.resources)
    gather = stage.gather
    return PlannedStage(
        name=name,
        folder=f"{name}-{fingerprint[:12]}",
        fingerprint=fingerprint,
        identity=identity,
        spec=to_spec(stage),
        after=after,
        resources=resources,
        slicing=Slicing(tasks=options.shard_tasks, weight=options.shard_weight, gather=gather),
        env=Environment(),
        batch_size=0 if gather else (stage.batch_size if options.batch_size is None else options.batch_size),
        workers=options.workers,
        processes=processes_per_worker(resources, options.processes),
        attempts=options.attempts,
        task_timeout=options.task_timeout,
        deterministic=stage.deterministic,
        sbatch=dict(options.sbatch),
        weights=read,
    )


def _environment(name: str, step: Step, weights: Sequence[WeightsRef], environment: EnvironmentOf) -> Environment:
    """The one named at the place of use, else the stage's, else its model's."""
    of_models = next((one.env for one in weights if one.env), None)
    try:
        return environment(step.options.env or environment_of(step.stage) or of_models, step.options.stage_to_node)
    except ConfigError as error:
        raise ConfigError(f"stages.{name}.{error}") from None


def _weights(name: str, stage: Stage[Any, Any], weights: WeightsOf) -> tuple[WeightsRef, ...]:
    names = dict.fromkeys(model for member in members(stage) for model in model_names(member.model))
    try:
        return tuple(weights(model) for model in names)
    except ConfigError as error:
        raise ConfigError(f"stages.{name}: {error}") from None


def _resources(stage: str, own: Resources, given: dict[str, Any]) -> Resources:
    named = {key: value for key, value in given.items() if value is not None}
    return convert(Resources, {**attrs.asdict(own), **named}, f"stages.{stage}.resources")


def _after(stage: str, names: list[str], options: StageOptions) -> tuple[str, ...]:
    if not _NAME.fullmatch(stage):
        raise ConfigError(f"stages.{stage}: a stage name is lower case letters, digits and _, e.g. split_2")
    if options.after is None:
        position = names.index(stage)
        return (names[position - 1],) if position else ()
    for name in options.after:
        if name not in names:
            raise ConfigError(f"stages.{stage}.after: there is no stage {name!r}; {suggestion(name, names)}")
    return tuple(options.after)


def _topological(after: Mapping[str, Sequence[str]]) -> list[str]:
    order: list[str] = []
    waiting = list(after)
    while waiting:
        ready = [s for s in waiting if all(u in order for u in after[s])]
        if not ready:
            raise ConfigError(f"stages.{waiting[0]}.after: the stages {', '.join(waiting)} wait for each other")
        order += ready
        waiting = [s for s in waiting if s not in ready]
    return order


def _check_types(source: Source, steps: Mapping[str, Step], after: Mapping[str, Sequence[str]]) -> None:
    """Neighbours fit, and every type survives a row."""
    types = {name: types_of(step.stage) for name, step in steps.items()}
    for name, (takes, gives) in types.items():
        for kind in (takes, gives):
            check_task_type(kind)
        for before, comes in [(u, types[u][1]) for u in after[name]] or [("the source", source.task_type)]:
            _check_fit(name, takes, before, comes)
        _check_chain(name, steps[name].stage)


def _check_fit(name: str, takes: type[Task], before: str, comes: type[Task]) -> None:
    if takes is not comes:
        raise PipelineError(
            f"stages.{name} takes {takes.__qualname__}, but {before} gives {comes.__qualname__}; "
            f"put a stage between them, or change stages.{name}.after"
        )


def _check_chain(name: str, stage: Stage[Any, Any]) -> None:
    inner = getattr(stage, "stages", [])
    for first, second in itertools.pairwise(inner):
        _check_fit(f"{name} ({type(second).__name__})", types_of(second)[0], type(first).__name__, types_of(first)[1])


def live(planned: PlannedStage) -> Stage[Any, Any]:
    """The stage object of a planned stage, constructed again."""
    return from_spec(planned.spec)


def dump(pipeline: Pipeline) -> str:
    """`pipeline.json`, readable."""
    return json.dumps(pipeline.to_json(), indent=1)
