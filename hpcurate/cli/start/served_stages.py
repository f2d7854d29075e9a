"""The stages of a configuration as they are served: planned again for each set of parameters."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from hpcurate.cli.start.inputs import read_source
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.steps import read_steps
from hpcurate.digest import digest
from hpcurate.docstrings import about
from hpcurate.members import resolved_types
from hpcurate.planning.build import Step, build
from hpcurate.planning.missing import NotInstalled, all_of
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.planning.plan import Plan, limits_of
from hpcurate.planning.programs import program_modules
from hpcurate.runs.prepare import Request
from hpcurate.serving.fields import inputs_of, parameters_of
from hpcurate.serving.infer_fields import about_of_class, inputs_of_first
from hpcurate.serving.plans import PlannedStep, Way
from hpcurate.serving.selection import Part, grouped, on_the_way
from hpcurate.serving.served import Limits, Served
from hpcurate.source.base import Source, suffixes
from hpcurate.stage import members
from hpcurate.task import Task

__all__ = ["ServedStages"]

OF_A_CLASS = "infer"
"""The stage of `+pipeline=infer`: what is served is the class, and the pipeline is called as it is."""
MOST_KEPT = 32
"""Sets of parameters that are not planned again."""


class ServedStages:
    """See `Planner`. What it plans is run with the frozen `code`; empty: nothing is run."""

    def __init__(self, request: Request, settings: Settings, stage: str | None, code: str = "") -> None:
        self._request, self._settings, self.stage, self._code = request, settings, stage, code
        self._names = _members_of(settings.stages)
        self.source = read_source(settings.source)
        self._kept: OrderedDict[str, Way] = OrderedDict()
        self.parts = self._parts({})

    def served(self, limits: Limits) -> Served:
        """What a page and an endpoint are made from. Raises UserError where a request can give no input."""
        last = self.parts[-1]
        own = self.stage or last.key
        named = next((part for part in self.parts if part.key == own), last)
        first = members(self.parts[0].stage)[0]
        inputs, example = inputs_of_first(first, self.source.task_type) or (
            inputs_of(self.source.task_type, _suffixes(self.source)), {}
        )  # fmt: skip
        return Served(
            title=self._settings.name if own == OF_A_CLASS else f"{own} of {self._settings.name}",
            about=(about_of_class(named.stage) or about(type(named.stage))).partition("\n\n")[0],
            stages=tuple(part.key for part in self.parts),
            inputs=inputs,
            example=example,
            parameters=parameters_of(self.parts, named.key),
            limits=limits,
        )

    def modules(self) -> tuple[str, ...]:
        """Modules whose code runs the stages."""
        found = [type(one).__module__ for part in self.parts for one in members(part.stage)]
        found += [module for part in self.parts for module in program_modules(part.stage)]
        return tuple(dict.fromkeys([*found, self.source.task_type.__module__]))

    def plan(self, parameters: dict[str, Any]) -> Way:
        """See `Planner`."""
        key = digest({"parameters": parameters})
        found = self._kept.get(key) or self._planned(parameters)
        self._kept[key] = found  # by several threads at once
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _planned(self, parameters: Mapping[str, Any]) -> Way:
        steps = grouped(self._parts(parameters))
        request = self._request
        name, weights, environment = request.name, request.weights, request.environments
        try:
            pipeline = build(name, self.source, steps, weights=weights, environment=environment)
        except NotInstalled as error:
            raise all_of([error], request.install) from None
        given: type[Task] = self.source.task_type
        way = []
        for planned in pipeline.stages:
            stage = steps[planned.name].stage
            returns = resolved_types(stage, given)[-1][1]
            way.append(PlannedStep(planned.name, self._plan(planned), stage, returns))
            given = returns
        return Way(self.source.task_type, tuple(way))

    def _plan(self, stage: PlannedStage) -> Plan:
        launcher = self._request.launcher
        return Plan(
            stage=stage,
            run="serve",
            store=self._request.store,
            lists=(),
            round=0,
            workers=1,
            code=self._code or None,
            node_local=tuple(launcher.get("node_local") or ()),
            limits=limits_of(stage),
        )

    def _parts(self, parameters: Mapping[str, Any]) -> tuple[Part, ...]:
        stages = copy.deepcopy(self._settings.stages)
        for key, value in parameters.items():
            stage, _, name = key.rpartition(".")
            stages.setdefault(stage, {})[name] = value
        steps: dict[str, Step] = read_steps(stages)
        return on_the_way(steps, self._settings.places, self._names, self.stage)


def _members_of(stages: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        name: [member for member, one in entry["chain"].items() if one is not None]
        for name, entry in stages.items()
        if isinstance(entry, Mapping) and entry.get("chain")
    }


def _suffixes(source: Source) -> Sequence[str]:
    found = getattr(source, "extensions", None)
    return suffixes(tuple(found)) if found else ()
