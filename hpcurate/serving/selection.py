"""Which stages of a pipeline a request goes through, and which of them share a process. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.errors import PipelineError
from hpcurate.fields import suggestion
from hpcurate.planning.build import Step, resources_of
from hpcurate.planning.options import StageOptions
from hpcurate.planning.placing import in_order, upstreams
from hpcurate.planning.sort_steps import group_stage
from hpcurate.results import results_in
from hpcurate.stage import Chain, Stage, environment_of, largest, members

__all__ = ["Part", "grouped", "on_the_way"]

Members = Mapping[str, Sequence[str]]
"""Step → names of its chain's members, as a configuration has them."""


class Part(msgspec.Struct, frozen=True):
    """A stage on the way: a step of the pipeline, or a member of a step that is a chain."""

    key: str
    """What a command line calls it: `stages.KEY.parameter`."""
    step: str
    """The step that it belongs to."""
    stage: Stage[Any, Any]
    options: StageOptions
    """Of the step."""


def on_the_way(
    steps: Mapping[str, Step], places: Sequence[str], names: Members, stage: str | None = None
) -> tuple[Part, ...]:
    """From the input to `stage`; without one, to the last that takes task by task.

    Raises PipelineError where a request cannot come there.
    """
    options = {name: step.options for name, step in steps.items()}
    line = in_order(options, places)
    after = {name: upstreams(name, line, options[name]) for name in line}
    parts = {name: list(_parts(name, steps[name], names.get(name, ()))) for name in line}
    if stage is None:
        return _to_the_last(line, after, parts)
    owner = next((name for name, its in parts.items() if stage == name or any(stage == one.key for one in its)), None)
    if owner is None:
        known = [one.key for its in parts.values() for one in its]
        raise PipelineError(f"{stage}: there is no such stage; {suggestion(stage, dict.fromkeys([*line, *known]))}")
    found = _way(owner, after, parts)
    if stage != owner:
        found = found[: next(number for number, one in enumerate(found, start=1) if one.key == stage)]
    for one in found:
        if why := _unfit(one):
            raise PipelineError(f"stages.{one.key}: {why}, so a request by itself cannot go through it; {_DIRECT}")
    return tuple(found)


_DIRECT = "name a stage before it"


def _parts(name: str, step: Step, keys: Sequence[str]) -> Iterator[Part]:
    inner = step.stage.stages if isinstance(step.stage, Chain) else [step.stage]
    for key, stage in zip(keys or [name] * len(inner), inner):
        yield Part(key, name, stage, step.options)


def _to_the_last(
    line: Sequence[str], after: Mapping[str, Sequence[str]], parts: Mapping[str, list[Part]]
) -> tuple[Part, ...]:
    fit: list[str] = []
    for name in line:
        if len(after[name]) < 2 and set(after[name]) <= set(fit) and not any(map(_unfit, parts[name])):
            fit.append(name)
    if not fit:
        first = parts[line[0]][0]
        raise PipelineError(f"stages.{first.key}: {_unfit(first)}; no stage of this pipeline takes task by task")
    return tuple(_way(fit[-1], after, parts))


def _way(stage: str, after: Mapping[str, Sequence[str]], parts: Mapping[str, list[Part]]) -> list[Part]:
    """Of each stage the one that it reads, first ones first."""
    way = [stage]
    while above := after[way[-1]]:
        if len(above) > 1:
            raise PipelineError(
                f"stages.{way[-1]}: reads {' and '.join(above)}, and a request goes one way; {_DIRECT}, or type "
                f"stages.{way[-1]}.after=[{above[0]}]"
            )
        way.append(above[0])
    return [one for name in reversed(way) for one in parts[name]]


def _unfit(part: Part) -> str:
    """Why a request by itself cannot go through a stage; empty if it can."""
    for one in members(part.stage):
        if one.gather:
            return "waits for all tasks of a run"
        if group_stage(part.step, one):
            return "gets whole groups of tasks"
        if one.publishes:
            return "writes into the output of a run"
        if any(True for _ in results_in(list(one.arguments().values()))):
            return "has a parameter that is the result of another stage"
    return ""


def grouped(parts: Sequence[Part]) -> dict[str, Step]:
    """Steps to plan: neighbours with one environment and one kind of device are one chain, in one process.

    Each is called as its last stage.
    """
    runs: list[list[Part]] = []
    for part in parts:
        if runs and _shared(runs[-1][-1]) == _shared(part):
            runs[-1].append(part)
        else:
            runs.append([part])
    return {run[-1].key: _step(run) for run in runs}


def _shared(part: Part) -> tuple[Any, ...]:
    """What two stages have in common that can run in one process."""
    options = part.options
    uses_gpu = options.device != "cpu" and resources_of(part.step, part.stage, options).gpus > 0
    env = options.env or environment_of(part.stage)
    return (str(env), options.stage_to_node, options.prepare, uses_gpu)


def _step(run: Sequence[Part]) -> Step:
    """The options of the first, with the largest of what all need; a request is one way, so it names no place."""
    needs = largest([resources_of(part.step, part.stage, part.options) for part in run])
    setups = [part.options.setup_timeout for part in run]
    options = attrs.evolve(
        run[0].options,
        after=None, before=None, place=None, needs=[], allow_missing=None, processes=None, workers=None,
        workers_per_node=None, batch_size=None, sort={},
        resources={key: value for key, value in attrs.asdict(needs).items() if value is not None},
        setup_timeout=None if None in setups else sum(filter(None, setups)),
    )  # fmt: skip
    stages = [part.stage for part in run]
    return Step(stages[0] if len(stages) == 1 else Chain(stages), options)
