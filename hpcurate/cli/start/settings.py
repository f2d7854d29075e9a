"""The resolved configuration, checked: every key known, every value of its type, every class importable."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import attrs
import msgspec

from hpcurate.cli.start.stage_file import stage_in_file
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import option, suggestion
from hpcurate.planning.build import Step
from hpcurate.planning.options import Budget, StageOptions
from hpcurate.planning.pipeline import Timing
from hpcurate.source import Sharded, Source, Undone
from hpcurate.source.parts import parse_shard
from hpcurate.spec import coerce_parameters, find_class
from hpcurate.stage import Chain, Stage, constructor


@attrs.define(frozen=True, kw_only=True)
class Settings:
    """Top-level keys."""

    name: str = option("pipeline", "name of the pipeline; part of the run's name")
    input: str | None = option(None, "folder, file or glob that the source reads")
    store: str | None = option(None, "folder on shared storage; default: HPCURATE_STORE, then the last one used")
    output: str | None = option(None, "folder of the result; default: the run's own output/")
    source: Any = option(None, "where the first tasks come from: _target_ and its parameters")
    shard: str | None = option(None, "a part of the input, i/n with i from 0, e.g. 0/4; nested 0/4,1/2")
    done: str | None = option(
        None, "items whose output this path names exist already are left out, e.g. /captions/{relative}.json"
    )
    stages: dict[str, Any] = attrs.field(factory=dict, metadata={"help": "stages by name, in order"})
    launcher: dict[str, Any] = attrs.field(
        factory=dict, metadata={"help": "auto, slurm, local or inline, and its fields"}
    )
    models: dict[str, Any] = attrs.field(
        factory=dict,
        metadata={"help": "changes to the registry, e.g. models.gpt2.revision=main; conf/models has the rest"},
    )
    limit: int | None = option(None, "only the first so many tasks: a trial, whose work the full run reuses")
    rerun: list[str] = attrs.field(
        factory=list, metadata={"help": "stages to do anew, and so everything after them: rerun=split, rerun=[a,b]"}
    )
    dry_run: bool = option(False, "true: print the plan and the sbatch scripts; write and submit nothing")
    debug: bool = option(False, "true: in this process, the first 3 tasks, a scratch store; breakpoints work")
    site: dict[str, Any] = attrs.field(
        factory=lambda: {"use": "auto"}, metadata={"help": "site profile: site=NAME of conf/site, or its fields"}
    )
    wait: bool | None = option(None, "true: stay until the end; false: submit and leave; default: the launcher's")
    budget: Budget = option(Budget(), "dead letters a complete run may have")
    timing: Timing = option(Timing(), "clocks of the claim protocol, in seconds")


def names_of(cls: type) -> list[str]:
    """Field names of a settings class."""
    return [field.name for field in attrs.fields(cls)]


def read_settings(plain: dict[str, Any]) -> Settings:
    """Check the top level. Raises ConfigError with the full key."""
    values = dict(plain)
    if isinstance(values.get("rerun"), str):
        values["rerun"] = [values["rerun"]]
    if values.get("rerun") is None:
        values.pop("rerun", None)
    for key, cls in (("budget", Budget), ("timing", Timing)):
        if values.get(key) is not None:
            values[key] = convert(cls, values[key], key)
    settings: Settings = convert(Settings, values, "")
    return settings


def convert(cls: type[Any], values: Any, where: str) -> Any:
    """An attrs class from a mapping: unknown keys and wrong types are named in full."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping, got {values!r}")
    prefix = f"{where}." if where else ""
    for key in values:
        if key not in names_of(cls):
            raise ConfigError(f"{prefix}{key}: there is no such key; {suggestion(str(key), names_of(cls))}")
    hints = inspect.get_annotations(cls, eval_str=True)
    return cls(**{key: _value(value, hints[key], f"{prefix}{key}") for key, value in values.items()})


def _value(value: Any, hint: Any, key: str) -> Any:
    if attrs.has(type(value)):
        return value
    if value is not None and hint in (str, str | None) and isinstance(value, (int, float)):
        return str(value)
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}={value!r}: {error}") from None


# -- stages -----------------------------------------------------------------------------------------


def read_stages(stages: dict[str, Any]) -> dict[str, Step]:
    """Stage objects and their options, in order."""
    entries = {name: dict(entry) if isinstance(entry, dict) else entry for name, entry in stages.items()}
    _move_to_members(entries)
    return {name: _node(name, entry) for name, entry in entries.items() if entry is not None}


def _move_to_members(entries: dict[str, Any]) -> None:
    """`stages.motion.threshold` means the chain member, where `motion` is no stage of its own."""
    for name, entry in list(entries.items()):
        if not isinstance(entry, dict) or {"_target_", "chain", "file"} & entry.keys():
            continue
        owners = [k for k, e in entries.items() if isinstance(e, dict) and name in (e.get("chain") or {})]
        if len(owners) == 1:
            chain = dict(entries[owners[0]]["chain"])
            chain[name] = {**chain[name], **entry}
            entries[owners[0]]["chain"] = chain
            del entries[name]


def _node(name: str, entry: Any) -> Step:
    where = f"stages.{name}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}={entry!r}: expected a mapping with _target_, or chain")
    options = {k: v for k, v in entry.items() if k in names_of(StageOptions)}
    rest = {k: v for k, v in entry.items() if k not in options}
    if "chain" in rest:
        members = rest.pop("chain")
        if rest:
            key = next(iter(rest))
            raise ConfigError(
                f"{where}.{key}: there is no such key; {suggestion(key, [*names_of(StageOptions), 'chain'])}"
            )
        stage: Stage[Any, Any] = Chain([_stage(f"{where}.chain.{k}", v) for k, v in members.items()])
    else:
        stage = _stage(where, rest)
    return Step(stage, convert(StageOptions, options, where))


def _stage(where: str, entry: Any) -> Stage[Any, Any]:
    if isinstance(entry, dict) and "file" in entry:
        entry = _of_file(where, entry)
    if not isinstance(entry, dict) or "_target_" not in entry:
        raise ConfigError(
            f"{where}: has no _target_, so it is no stage of this pipeline; misspelt, or write module.Class"
        )
    parameters = {k: v for k, v in entry.items() if k != "_target_"}
    try:
        cls = find_class(str(entry["_target_"]))
    except PipelineError as error:
        raise PipelineError(f"{where}._target_: {error}") from None
    try:
        return cls(**coerce_parameters(cls, parameters))
    except ConfigError as error:
        key, _, message = str(error).partition(": ")
        if key in names_of_parameters(cls) or "has no parameter" in message:
            raise ConfigError(f"{where}.{_with_options(error, cls)}") from None
        raise ConfigError(f"{where}: {error}") from None


def _of_file(where: str, entry: dict[str, Any]) -> dict[str, Any]:
    """`file: ./mine.py` names a module that lies anywhere; `_target_` then names a class in it."""
    rest = {k: v for k, v in entry.items() if k not in ("file", "_target_")}
    try:
        return {"_target_": stage_in_file(str(entry["file"]), entry.get("_target_")), **rest}
    except PipelineError as error:
        raise PipelineError(f"{where}.file={entry['file']}: {error}") from None


def names_of_parameters(cls: type) -> list[str]:
    """Constructor parameters of a stage class."""
    return list(constructor(cls))


def _with_options(error: ConfigError, cls: type) -> str:
    """The message about an unknown key, with the stage's options among what may have been meant."""
    key = str(error).partition(":")[0]
    if "has no parameter" not in str(error):
        return str(error)
    return f"{key}: there is no such key; {suggestion(key, [*names_of_parameters(cls), *names_of(StageOptions)])}"


def read_source(entry: Any) -> Source:
    """The source object. Raises ConfigError with the full key."""
    if not isinstance(entry, dict) or "_target_" not in entry:
        raise ConfigError(
            "source: expected a mapping with _target_, e.g. {_target_: hpcurate.source.Files, path: /data}"
        )
    parameters = {k: v for k, v in entry.items() if k != "_target_"}
    module, _, name = str(entry["_target_"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PipelineError(f"source._target_={entry['_target_']}: {type(error).__name__}: {error}") from None
    names = list(inspect.signature(cls).parameters)
    for key in parameters:
        if key not in names:
            raise ConfigError(f"source.{key}: {name} has no such parameter; {suggestion(key, names)}")
    if "path" in names and parameters.get("path") is None:
        raise ConfigError("input: this pipeline reads files; name a folder or a glob, input=/data/videos")
    source: Source = cls(**parameters)
    return source


def part_of(source: Source, settings: Settings) -> Source:
    """The source as `shard` and `done` narrow it down. Raises ConfigError."""
    if settings.done is not None:
        source = Undone(source, settings.done)
    return Sharded(source, parse_shard(settings.shard)) if settings.shard is not None else source
