"""From live stages to a pipeline: checked, fingerprinted, frozen into plain values. Touches no storage."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.digest import digest
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import checked, convert
from hpcurate.members import declared_input, node_server_of, resolved_types
from hpcurate.model import model_names
from hpcurate.other_tools import methods_of
from hpcurate.planning.aliases import SOURCE, KeptOf
from hpcurate.planning.budget import Budget
from hpcurate.planning.fingerprint import stage_identity, versioned_code
from hpcurate.planning.inputs import read_input
from hpcurate.planning.job_nodes import check_nodes
from hpcurate.planning.missing import NotInstalled, all_of
from hpcurate.planning.needs import extras_with, lacking, whole
from hpcurate.planning.options import StageOptions, device_of
from hpcurate.planning.pipeline import Environment, Pipeline, PlannedSource, PlannedStage, Timing, WeightsRef
from hpcurate.planning.placing import in_order, needed, topological, upstreams
from hpcurate.planning.relations import Gather, Groups, Relation, Slices
from hpcurate.planning.results import PlannedResult
from hpcurate.planning.slicing import Slicing
from hpcurate.planning.sort_steps import GROUP_ROWS, SORT_ROWS, SortStep, group_stage, with_sort_steps
from hpcurate.planning.task_classes import resolved_classes
from hpcurate.planning.wanted import Wanted, wanted
from hpcurate.planning.wanted import planned as planned_result
from hpcurate.results import RESULT, replaced
from hpcurate.source.base import Source
from hpcurate.source.several import several_in
from hpcurate.spec import find_task, to_spec
from hpcurate.stage import CurrentOr, Resources, Stage, environment_of, members
from hpcurate.task import Task

__all__ = ["EnvironmentOf", "EpochOf", "Step", "WeightsOf", "build", "installed", "resources_of"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Step(msgspec.Struct, frozen=True):
    """An entry of a pipeline, the input of `build`: a live stage and its options."""

    stage: Stage[Any, Any]
    options: StageOptions = msgspec.field(default_factory=StageOptions)


WeightsOf = Callable[[str], WeightsRef]
"""Model name → its weights in the store. Raises ConfigError where there are none."""


def no_weights(name: str) -> WeightsRef:
    """Where there is no registry."""
    raise ConfigError(f"model {name!r}: there is no registry of models here")


EnvironmentOf = Callable[[Any, bool], Environment]
"""(a stage's `env` as written, whether it is staged to the nodes) → how its process is started. Raises ConfigError."""


def own_environment(env: Any, to_node: bool) -> Environment:
    """Where there are no others."""
    if env is not None or to_node:
        raise ConfigError(f"env={env!r}: there are no environments here")
    return Environment()


EpochOf = Callable[[str, str], int]
"""(stage, fingerprint in epoch 0) → how often it was asked to be done again."""


class Installed(msgspec.Struct, frozen=True):
    """What a stage finds in the store."""

    weights: tuple[WeightsRef, ...]
    env: Environment


def build(
    name: str,
    source: Source,
    steps: Mapping[str, Step],
    *,
    places: Sequence[str] = (),
    budget: Budget | None = None,
    timing: Timing | None = None,
    epoch: EpochOf = lambda stage, fingerprint: 0,
    kept: KeptOf = lambda stage, identity: None,
    weights: WeightsOf = no_weights,
    environment: EnvironmentOf = own_environment,
) -> Pipeline:
    """Check that the stages fit together and fingerprint them. Touches no storage.

    Raises PipelineError or ConfigError naming the stage and the key.
    """
    if not steps:
        raise ConfigError("stages: a pipeline needs at least one stage")
    there = _Arranged.of(steps, places)
    steps, classes = there.steps, resolved_classes(source, _stages(there.steps), there.after, there.order)
    takes = classes.takes
    several = several_in(source)
    inputs = () if several is None else tuple(sorted(several.lists.values()))
    origin = PlannedSource(folder="", identity=source.identity(), inputs=inputs)
    parts = {SOURCE: origin.identity}
    origin_print = kept(SOURCE, parts) or digest(parts)
    origin = msgspec.structs.replace(origin, folder=f"{SOURCE}-{origin_print[:12]}")
    here = _installed(steps, takes, weights, environment)
    planned: dict[str, PlannedStage] = {}
    for stage in there.order:
        upstream = [planned[u].fingerprint for u in there.after[stage]] or [origin_print]
        prints = {name: planned[name].fingerprint for name in there.needs[stage] + there.after[stage]}
        one = _plan(stage, steps[stage], there.after[stage], upstream, prints, epoch, kept, here[stage].weights)
        results = tuple(_result(each, steps, takes) for each in there.wanted[stage])
        allowed = _allow_missing(stage, steps[stage].options, there.after[stage])
        one = msgspec.structs.replace(one, needs=there.needs[stage], results=results, allow_missing=allowed)
        kinds = {planned[name].folder: kind for name, kind in classes.kinds.get(stage, {}).items()}
        planned[stage] = msgspec.structs.replace(one, env=here[stage].env, takes=takes[stage], kinds=kinds)
        check_nodes(f"stages.{stage}", steps[stage].stage, steps[stage].options, planned[stage])
    return Pipeline(
        name=name,
        source=origin,
        stages=tuple(planned[s] for s in there.order),
        budget=checked(budget or Budget(), "budget"),
        timing=checked(timing or Timing(), "timing"),
    )


class _Arranged(msgspec.Struct, frozen=True):
    """The stages of a pipeline in the light of each other, sort steps included."""

    steps: Mapping[str, Step]
    after: Mapping[str, tuple[str, ...]]
    """Stage → those that it reads."""
    needs: Mapping[str, tuple[str, ...]]
    """Stage → others that have to be complete before it begins."""
    wanted: Mapping[str, Sequence[Wanted]]
    """Stage → its parameters that are results."""
    order: Sequence[str]
    """Each after those before it."""

    @classmethod
    def of(cls, steps: Mapping[str, Step], places: Sequence[str]) -> _Arranged:
        """Raises ConfigError naming the key."""
        options = {stage: checked(step.options, _key(stage)) for stage, step in steps.items()}
        line = in_order(options, places)
        _check_sort(steps, options)
        after, sorts = with_sort_steps(
            _stages(steps), {stage: upstreams(stage, line, options[stage]) for stage in line}
        )
        steps = {name: steps[name] if name in steps else _sort_step(sorts[name], options) for name in after}
        options = {name: step.options for name, step in steps.items()}
        found = {stage: wanted(stage, steps[stage].stage, line) for stage in after}
        behind = {}
        for stage in after:
            by_result = {one.result.stage: one.key for one in reversed(found[stage])}
            named = dict.fromkeys(needed(stage, line, options[stage]), f"stages.{stage}.needs")
            behind[stage] = dict.fromkeys(after[stage], f"stages.{stage}.after") | by_result | named
        needs = {stage: tuple(name for name in behind[stage] if name not in after[stage]) for stage in after}
        return cls(steps, after, needs, found, topological(behind))


def _check_sort(steps: Mapping[str, Step], options: Mapping[str, StageOptions]) -> None:
    for name, given in options.items():
        if given.sort and group_stage(name, steps[name].stage) is None:
            raise ConfigError(f"stages.{name}.sort: it gets no whole groups, so nothing is sorted for it")
        if given.sort:  # as it was typed: planned is a sort step of another name
            _resources(f"{name}.sort", Resources(), convert(StageOptions, given.sort, f"stages.{name}.sort").resources)


def _sort_step(one: SortStep, options: Mapping[str, StageOptions]) -> Step:
    """With the environment of the stage that it sorts for, if that one's own code makes the keys."""
    user = options[one.users[0]]
    usual: dict[str, Any] = {"shard_tasks": SORT_ROWS}
    if one.stage.grouped is not None:
        usual |= {"env": user.env, "stage_to_node": user.stage_to_node}
    set_by = [name for name in one.users if options[name].sort] or one.users[:1]
    odd = next((name for name in set_by if options[name].sort != options[set_by[0]].sort), None)
    if odd is not None:
        raise ConfigError(f"stages.{odd}.sort: it shares the sort step of {set_by[0]}, which has other settings")
    return Step(one.stage, convert(StageOptions, {**usual, **options[set_by[0]].sort}, f"stages.{set_by[0]}.sort"))


def _allow_missing(name: str, options: StageOptions, after: Sequence[str]) -> int | None:
    if options.allow_missing is not None and not after:
        raise ConfigError(f"stages.{name}.allow_missing: it reads the input, of which no stage can have lost anything")
    return options.allow_missing


def _result(each: Wanted, steps: Mapping[str, Step], takes: Mapping[str, str]) -> PlannedResult:
    """A parameter that is a result, once it is clear that its stage gives it. Raises PipelineError."""
    stage = steps[each.result.stage].stage
    types = resolved_types(stage, _taken(stage, takes[each.result.stage]))
    return planned_result(each, stage, types[-1][1])


def _check_methods(name: str, stage: Stage[Any, Any]) -> None:
    """A stage written for another tool. Raises PipelineError."""
    for member in members(stage):
        words = methods_of(type(member)) if type(member).process is Stage.process else ""
        if words:
            raise PipelineError(f"stages.{name}: {type(member).__qualname__} has no process(self, tasks): {words}")


def _stages(steps: Mapping[str, Step]) -> dict[str, Stage[Any, Any]]:
    return {name: step.stage for name, step in steps.items()}


def _plan(
    name: str,
    step: Step,
    after: tuple[str, ...],
    upstream: list[str],
    prints: Mapping[str, str],
    epoch: EpochOf,
    kept: KeptOf,
    models: tuple[WeightsRef, ...],
) -> PlannedStage:
    stage, options = step.stage, checked(step.options, f"stages.{name}")
    _check_methods(name, stage)
    read = functools.cache(read_input)  # once: what identifies the stage is what its workers are to find
    own = replaced(stage_identity(stage, read), lambda one: {RESULT: [prints[one.stage], one.field]})
    first: dict[str, Any] = {"stage": own, "upstream": upstream, "epoch": 0}
    if grouped := group_stage(name, stage):
        first["group"] = [grouped.group_by, grouped.group_most]
    if models:
        first["models"] = [one.identity for one in models]
    identity = {**first, "epoch": epoch(name, digest(first))}
    fingerprint = kept(name, identity) or digest(identity)
    resources = resources_of(name, stage, options)
    device = _device(name, options.device, resources)
    if device == "cpu":
        resources = attrs.evolve(resources, gpus=0.0)  # else a job would wait for GPUs that nobody may see
    batch_size = _batch_size(stage, options)
    relation = _relation(stage, options, batch_size)
    return PlannedStage(
        name=name,
        folder=f"{name}-{fingerprint[:12]}",
        fingerprint=fingerprint,
        identity=identity,
        spec=to_spec(stage, read),
        code=versioned_code(stage),
        after=after,
        resources=resources,
        device=device,
        prepare=options.prepare,
        relation=relation,
        batch_size=batch_size,
        workers=options.workers,
        processes=processes_per_worker(resources, _processes(name, resources, options)),
        whole_node=options.workers_per_node is not None,
        attempts=options.attempts,
        tries=options.tries,
        retry_on=None if options.retry_on is None else tuple(options.retry_on),
        backoff=options.backoff,
        log_mb=options.log_mb,
        task_timeout=options.task_timeout,
        setup_timeout=options.setup_timeout,
        max_memory=options.max_memory,
        max_time=options.max_time,
        deterministic=stage.deterministic,
        publishes=stage.publishes,
        checkpoints=_checkpoints(name, stage),
        sbatch=dict(options.sbatch),
        weights=models,
        node_setup=f"setup-{name}-{digest(_made_on_node(identity))[:12]}",
        node_server=_node_server(name, stage, models),
    )


def _made_on_node(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What `setup_on_node` can make something of: the stage's parameters, and its weights. Pure."""
    return {key: identity[key] for key in ("stage", "models") if key in identity}


def _node_server(name: str, stage: Stage[Any, Any], models: tuple[WeightsRef, ...]) -> str:
    try:
        server = node_server_of(stage)
    except PipelineError as error:
        raise PipelineError(f"stages.{name}: {error}") from None
    if server is None:
        return ""
    checked(server, f"stages.{name}.node_server")
    return digest({"server": attrs.asdict(server), "models": [one.identity for one in models]})[:12]


def _checkpoints(name: str, stage: Stage[Any, Any]) -> bool:
    keeping = [type(member).__qualname__ for member in members(stage) if member.checkpoints]
    if len(keeping) > 1:  # a task that passes through keeps its id
        raise PipelineError(
            f"stages.{name}: {' and '.join(keeping)} would share a task's checkpoints; make them steps of their own"
        )
    return bool(keeping)


def _relation(stage: Stage[Any, Any], options: StageOptions, batch_size: int) -> Relation:
    if stage.gather:
        return Gather(counts=stage.counts_upstream)
    together, grouped = 1 if stage.small_batches and batch_size else batch_size, bool(group_stage("", stage))
    usual = GROUP_ROWS if grouped else Slicing().tasks
    most = usual if options.shard_tasks is None else options.shard_tasks
    slicing = Slicing(tasks=most, weight=options.shard_weight, batch=together)
    return Groups(slicing) if grouped else Slices(slicing)


def _batch_size(stage: Stage[Any, Any], options: StageOptions) -> int:
    """0: the whole shard."""
    if stage.gather:
        return 0
    return stage.batch_size if options.batch_size is None else options.batch_size


def _processes(name: str, resources: Resources, options: StageOptions) -> int | None:
    """As many as are set for a worker, which may have a node to itself. Raises ConfigError."""
    key, wanted = f"stages.{name}.workers_per_node={options.workers_per_node}", options.workers_per_node
    if wanted and options.processes:
        raise ConfigError(f"{key}: stages.{name}.processes={options.processes} says otherwise; leave one of them out")
    if wanted and resources.nodes > 1:
        raise ConfigError(f"{key}: a worker has {resources.nodes} nodes (stages.{name}.resources.nodes); leave one out")
    return wanted or options.processes


def processes_per_worker(resources: Resources, wanted: int | None) -> int:
    """How many stage processes share a worker: as wanted, or as many as fill its one GPU. Pure."""
    if wanted:
        return wanted
    if 0 < resources.gpus < 1:
        return max(1, int(1 / resources.gpus + 1e-9))
    return 1


def installed(
    source: Source, steps: Mapping[str, Step], places: Sequence[str], weights: WeightsOf, environment: EnvironmentOf
) -> dict[str, Installed]:
    """What each stage needs of the store. Raises NotInstalled with all that is missing, of all stages at once."""
    there = _Arranged.of(steps, places)
    takes = resolved_classes(source, _stages(there.steps), there.after, there.order).takes
    return _installed(there.steps, takes, weights, environment)


def _installed(
    steps: Mapping[str, Step], takes: Mapping[str, str], weights: WeightsOf, environment: EnvironmentOf
) -> dict[str, Installed]:
    found: dict[str, Installed] = {}
    missing: list[NotInstalled] = []
    for name, step in steps.items():
        models, envs = _weights(name, step.stage, weights, missing)
        env = _environment(name, step, takes[name], next(filter(None, envs), None), environment, missing)
        found[name] = Installed(models, env)
    if missing:
        raise all_of(missing)
    return found


def _weights(
    name: str, stage: Stage[Any, Any], weights: WeightsOf, missing: list[NotInstalled]
) -> tuple[tuple[WeightsRef, ...], list[str | None]]:
    """Those that are there, and the environments that load these and the missing ones."""
    models: list[WeightsRef] = []
    envs: list[str | None] = []
    for model in dict.fromkeys(model for member in members(stage) for model in model_names(member.model)):
        try:
            models.append(weights(model))
            envs.append(models[-1].env)
        except NotInstalled as error:
            missing.append(error.of(f"stages.{name}: "))
            envs += [need.env for need in error.needs]
        except ConfigError as error:
            raise ConfigError(f"stages.{name}: {error}") from None
    return tuple(models), envs


def _environment(
    name: str,
    step: Step,
    takes: str,
    of_models: str | None,
    environment: EnvironmentOf,
    missing: list[NotInstalled],
) -> Environment:
    """The one named at the place of use, else the stage's, else its model's."""
    asked, to_node = step.options.env or environment_of(step.stage) or of_models, step.options.stage_to_node
    lacks: tuple[str, ...] = ()
    if isinstance(asked, CurrentOr):
        lacks = lacking(step.stage, _taken(step.stage, takes))
        asked = asked.env if lacks or to_node else None
    elif asked is None and not whole():
        _check_current(name, step.stage, takes)
    why = _why(lacks, to_node)
    try:
        return environment(asked, to_node)
    except NotInstalled as error:
        missing.append(error.of(f"stages.{name}.", why))
        return Environment()
    except ConfigError as error:
        raise ConfigError(f"stages.{name}.{error}{why}") from None


def _check_current(name: str, stage: Stage[Any, Any], takes: str) -> None:
    """Raise ConfigError where what an extra of hpcurate has is missing: each task would fail for it."""
    lacks = [each for each in lacking(stage, _taken(stage, takes)) if extras_with([each])]
    if lacks:
        raise ConfigError(
            f"stages.{name}: the current environment lacks {', '.join(lacks)}; type `pip install "
            f"'hpcurate[{','.join(extras_with(lacks))}]'`, or name an environment that has them, stages.{name}.env="
        )


def _taken(stage: Stage[Any, Any], takes: str) -> type[Task]:
    return find_task(takes) if takes else declared_input(stage)


def _why(lacks: Sequence[str], to_node: bool) -> str:
    """Why another environment is asked for, and what makes it unnecessary."""
    if not lacks:
        return ""
    extras = extras_with(lacks)
    install = f": pip install 'hpcurate[{','.join(extras)}]'" if extras else ""
    here = "" if to_node else f" (with it here, no other one is needed{install})"
    return f"; the current environment lacks {', '.join(lacks)}{here}"


def resources_of(name: str, stage: Stage[Any, Any], options: StageOptions) -> Resources:
    """What one process of a stage needs, at its place of use. Raises ConfigError."""
    return _resources(name, stage.resources, options.resources)


def _resources(stage: str, own: Resources, given: dict[str, Any]) -> Resources:
    named = {key: value for key, value in given.items() if value is not None}
    return convert(Resources, {**attrs.asdict(own), **named}, f"stages.{stage}.resources")


def _device(stage: str, wanted: str, resources: Resources) -> str:
    try:
        return device_of(wanted, resources.gpus)
    except ConfigError as error:
        raise ConfigError(f"stages.{stage}: {error}") from None


def _key(stage: str) -> str:
    """The key of a stage with a proper name. Raises ConfigError."""
    if not _NAME.fullmatch(stage):
        raise ConfigError(f"stages.{stage}: a stage name is lower case letters, digits and _, e.g. split_2")
    return f"stages.{stage}"
