"""From a request to a checked pipeline: every start, dry run, `explain` and `envs check` begins here. Only reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.environments.resolve import Environments
from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, check_values, option
from hpcurate.masks import refuse_known
from hpcurate.members import stages_in
from hpcurate.model import Model
from hpcurate.planning.aliases import Aliases, KeptOf
from hpcurate.planning.budget import Budget
from hpcurate.planning.build import Step, WeightsOf, build
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.missing import NotInstalled, all_of
from hpcurate.planning.pipeline import Pipeline, Timing
from hpcurate.planning.programs import check_programs, program_modules
from hpcurate.runs.commands import Command
from hpcurate.runs.folder import UNNAMED, Run, check_name, check_store_writable, run_identity
from hpcurate.runs.freeing import KEEPS
from hpcurate.runs.launcher import Launcher, make_launcher
from hpcurate.runs.main_module import give_module
from hpcurate.secrets import refuse_typed
from hpcurate.source import Source
from hpcurate.source.again import taken_again
from hpcurate.source.compare import Edits
from hpcurate.spec import to_spec
from hpcurate.stage import Chain, members, task_types
from hpcurate.store.filesystem import DURABILITIES
from hpcurate.store.layout import Store
from hpcurate.store.mode import MODES, check_mode

__all__ = ["Prepared", "Request", "prepare"]


@attrs.define(frozen=True, kw_only=True)
class Request:
    """What somebody wants to run."""

    name: str = option(NEEDED, "name of the pipeline; part of the run's name", check=check_name)
    source: Source
    steps: Callable[[str], Mapping[str, Step]]
    """`steps(output)` makes the entries of the pipeline that writes its result to the folder `output`."""
    store: str
    launcher: dict[str, Any]
    """`_target_` and parameters."""
    store_mode: str | None = option(None, "who has a store that is made: `private` or `group`", choices=MODES)
    weights: WeightsOf
    environments: Environments
    epochs: Epochs
    """Of the store, with the stages that are to be done again."""
    kept: KeptOf | None = None
    """Which stages go on in a folder of theirs although their code differs; None: those with an alias in the store."""
    places: Sequence[str] = ()
    """Names of places of the pipeline, in order; see `in_order`."""
    output: str | None = None
    """Folder of the result; None: the run's own."""
    wait: bool | None = None
    limit: int | None = option(None, "only the first so many tasks of the source", minimum=1)
    edits: Edits = Edits()
    """What becomes of items that were changed, or are no longer there, after they were taken in."""
    keep: str = option("all", "which files stay", choices=KEEPS)
    budget: Budget = Budget()
    timing: Timing = Timing()
    durability: str = option("full", "what a committed shard survives", choices=tuple(DURABILITIES))
    metrics: str = ""
    """Folder in which the run keeps a file of metrics; empty: none."""
    config: str = ""
    """Resolved configuration, YAML."""
    command: Command = Command()
    """What was typed, and where."""
    install: str = ""
    """Command that installs all it needs; empty: each weights and environment by its own."""

    def draft(self) -> Pipeline:
        """The pipeline as it is before its run has a name: a folder of the run's own is UNNAMED in it."""
        return self.build(self.steps(self.output or UNNAMED))

    def identity(self) -> str:
        """What makes its run this run: requests with the same are one. Raises PipelineError or ConfigError."""
        return run_identity(self.draft(), self.output, self.limit)

    def build(self, steps: Mapping[str, Step]) -> Pipeline:
        """The pipeline of these steps. Raises PipelineError or ConfigError; NotInstalled with all that is missing."""
        try:
            built = build(
                self.name,
                self.source,
                steps,
                places=self.places,
                budget=self.budget,
                timing=self.timing,
                epoch=self.epochs,
                kept=self.kept or Aliases(self.store),
                weights=self.weights,
                environment=self.environments,
            )
        except NotInstalled as error:
            raise all_of([error], self.install) from None
        return msgspec.structs.replace(built, durability=self.durability)


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A request that could run."""

    request: Request
    launcher: Launcher
    draft: Pipeline
    """The pipeline as it is before its run has a name: a folder of the run's own is UNNAMED in it. What a run is, is
    computed from this one."""
    code: tuple[str, ...]
    """Modules whose code the workers and gates need: the stages' and the launcher's."""
    stage_modules: tuple[str, ...]

    def with_output(self, run: Run) -> Pipeline:
        """The pipeline that writes to the run's own folder, or to the one that was named."""
        if self.request.output is not None:
            return self.draft
        return self.request.build(self.request.steps(run.output))


def prepare(request: Request) -> Prepared:
    """Check all that can be checked without writing. Raises UserError for what could never run."""
    check_values(request, "")
    check_values(request.edits, "")
    steps = request.steps(request.output or UNNAMED)
    check_secrets(request, steps)
    check_not_taken(request.source, steps)
    launcher = make_launcher(request.launcher)
    give_module(_classes(request.source, steps), in_process=launcher.in_process)
    draft = request.build(steps)
    request.epochs.check(stage.name for stage in draft.stages)
    modules = tuple(type(member).__module__ for step in steps.values() for member in members(step.stage))
    modules += tuple(module for step in steps.values() for module in program_modules(step.stage))
    classes = [kind for stage in draft.stages for kind in (stage.takes, *stage.kinds.values()) if kind]
    modules += tuple(kind.partition(":")[0] for kind in classes)
    if launcher.same_path:
        check_programs({name: step.stage for name, step in steps.items()}, {one.name: one for one in draft.stages})
    check_weights(steps, draft, Store.at(request.store).weights)
    launcher.check(draft, Store.at(request.store).root)
    check_mode(request.store, request.store_mode)
    check_store_writable(request.store)
    code = (*modules, str(request.launcher["_target_"]))
    return Prepared(request=request, launcher=launcher, draft=draft, code=code, stage_modules=modules)


def _classes(source: Source, steps: Mapping[str, Step]) -> Iterator[type]:
    """Of the stages and their models, of the tasks that they take and give, and of those of the source."""
    yield source.task_type
    for stage in (inner for step in steps.values() for inner in stages_in(step.stage)):
        yield type(stage)
        yield type(stage.model)
        if not isinstance(stage, Chain):
            yield from task_types(type(stage))


def check_secrets(request: Request, steps: Mapping[str, Step]) -> None:
    """Whether a secret was given where it would be written into the store. Raises ConfigError."""
    given: list[tuple[str, Any]] = [("launcher", request.launcher), ("source", _fields_of(request.source))]
    for name, step in steps.items():
        for member in members(step.stage):
            key = f"stages.{name}" if member is step.stage else f"stages.{name}.{type(member).__name__}"
            given.append((key, to_spec(member).parameters))
        given.append((f"stages.{name}", attrs.asdict(step.options)))
    for key, plain in given:
        refuse_typed(plain, key)
        refuse_known(plain, key)


def check_not_taken(source: Source, steps: Mapping[str, Step]) -> None:
    """Whether results lie where the next call would take them for inputs. Raises ConfigError."""
    for name, step in steps.items():
        for member in members(step.stage):
            if path := taken_again(source, member.would_write):
                raise ConfigError(
                    f"stages.{name}: results such as {path!a} would be inputs of the next call: leave them out "
                    f"(exclude='*{os.path.splitext(path)[1]}', or source.extensions=[…]), or name an output outside of "
                    "the input"
                )


def _fields_of(source: Source) -> dict[str, Any]:
    """What a source was given, but its tasks: they are data."""
    cls: type = type(source)
    names = [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []
    return {name: value for name in names if not isinstance(value := getattr(source, name), tuple)}


def check_weights(steps: Mapping[str, Step], pipeline: Pipeline, folder: str) -> None:
    """Whether each model can do with the weights that were found for it. Raises ConfigError."""
    for stage in (one for one in pipeline.stages if one.name in steps):  # sort steps have none
        folders = {name: Path(folder, ref.folder) for ref in stage.weights for name in ref.names}
        models = [member.model for member in members(steps[stage.name].stage) if isinstance(member.model, Model)]
        for model, name in [(one, name) for one in models for name in one.model_id_names]:
            try:
                model.check_weights(name, folders[name])
            except ConfigError as error:
                raise ConfigError(
                    f"stages.{stage.name}: model {name}: {error}; name another one, or correct its entry in conf/models"
                ) from None
