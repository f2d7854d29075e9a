"""The source that a configuration names, narrowed down to what this call is to take."""

from __future__ import annotations

import inspect
from typing import Any, cast

import attrs

from hpcurate.cli.start.settings import Settings
from hpcurate.errors import ConfigError
from hpcurate.fields import check_keys, convert
from hpcurate.source import Part, Source, Undone
from hpcurate.source.parts import parse_part
from hpcurate.source.several import several
from hpcurate.system.classes import load_class


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

    return several(made, parameters.get("path"))


def part_of(source: Source, settings: Settings) -> Source:
    """The source as `part` and `done` narrow it down. Raises ConfigError."""
    if settings.done is not None:
        source = Undone(source, settings.done)
    return Part(source, parse_part(settings.part)) if settings.part is not None else source
