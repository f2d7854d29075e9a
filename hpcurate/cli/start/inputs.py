"""The source that a configuration names, narrowed down to what this call is to take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from hpcurate.cli.start.settings import Settings
from hpcurate.errors import ConfigError
from hpcurate.fields import check_keys, convert, suggestion
from hpcurate.planning.build import Step
from hpcurate.source import Exclude, Part, Source, Undone
from hpcurate.source.parts import parse_part
from hpcurate.source.several import several
from hpcurate.system.classes import load_class

EXECUTED = "is_executed"
"""Method of a stage that `done=stages.NAME` asks; of a task of Kagurazaka it is called so, too."""
_OF_STAGE = re.compile(r"stages\.(\w+)")


def read_source(entry: Any) -> Source:
    """The source object. Raises ConfigError with the full key."""
    if not isinstance(entry, dict) or "_target_" not in entry:
        raise ConfigError(
            "source: expected a mapping with _target_, e.g. {_target_: hpcurate.source.Files, path: /data}"
        )
    parameters = {k: v for k, v in entry.items() if k != "_target_"}
    cls = load_class(str(entry["_target_"]), "source._target_")
    names = list(inspect.signature(cls).parameters)
    check_keys(parameters, names, "source")
    if "path" in names and parameters.get("path") is None:
        raise ConfigError("input: this pipeline reads files; name a folder or a glob, input=/data/videos")

    def made(path: Any) -> Source:
        given = {**parameters, "path": path} if "path" in names else parameters
        source: Source = cast(Any, convert(cls, given, "source")) if attrs.has(cls) else cls(**given)
        return source

    path = parameters.get("path")
    return several(made, path) if _reads_one(cls, path) else made(path)


def _reads_one(cls: type, path: Any) -> bool:
    """Whether several paths are several of this source. One of the user's own may take a list, or read `{0..3}`."""
    ours = any(base.__module__.startswith("hpcurate.") for base in cls.__mro__)
    annotation = inspect.signature(cls).parameters["path"].annotation if attrs.has(cls) and path is not None else None
    return annotation in (str, "str") and (ours or not isinstance(path, str))


def part_of(source: Source, settings: Settings, steps: Callable[[], Mapping[str, Step]]) -> Source:
    """The source as `exclude`, `part` and `done` narrow it down. Raises ConfigError."""
    if settings.exclude:
        source = Exclude(source, tuple(settings.exclude))
    if settings.part is not None:
        source = Part(source, parse_part(settings.part))
    if settings.done is None:
        return source
    match = _OF_STAGE.fullmatch(settings.done)
    return Undone(source, settings.done, None if match is None else _executed(match[1], steps()))


def _executed(name: str, steps: Mapping[str, Step]) -> Callable[..., Any]:
    """What a stage says of what is done already. Raises ConfigError."""
    if name not in steps:
        raise ConfigError(f"done=stages.{name}: no such stage; {suggestion(name, sorted(steps))}")
    stage = steps[name].stage
    found: Callable[..., Any] | None = getattr(stage, EXECUTED, None)
    if found is None:
        raise ConfigError(
            f"done=stages.{name}: {type(stage).__name__} has no method {EXECUTED}(self, task) that says whether a task "
            "is done already"
        )
    return found
