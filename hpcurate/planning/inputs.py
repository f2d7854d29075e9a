"""Input files of stages (`InputFile`): read when a stage is planned, and checked before a worker runs it.

In a spec such a file stands as its path with its content, so that one stage's folder never mixes two contents.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from typing import Any

import msgspec

from hpcurate.errors import PipelineError
from hpcurate.spec import FILE, STAGE, InputContent, StageSpec

__all__ = ["COPIED_UP_TO", "changed_input", "map_inputs", "read_input"]

COPIED_UP_TO = 64 * 2**20
"""Bytes. A run has its own copy of an input file that is no larger; a larger one stays where it is."""


def read_input(path: str) -> InputContent:
    """An input file as it is now. Raises PipelineError for one that cannot be read."""
    try:
        found = os.stat(path)
        unlikely_to_be_edited_at_once = found.st_size > COPIED_UP_TO
        seen = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
        sha256 = _once(os.path.abspath(path), seen) if unlikely_to_be_edited_at_once else _sha256(path)
    except OSError as error:
        raise PipelineError(f"cannot read the input file {path!r}: {error.strerror}") from None
    return InputContent(path=os.path.abspath(path), size=found.st_size, sha256=sha256)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.lru_cache(maxsize=64)
def _once(path: str, seen: tuple[int, ...]) -> str:
    """A pipeline is built more than once in a start: what takes seconds is read once."""
    return _sha256(path)


def changed_input(stage: str, spec: StageSpec) -> str:
    """The first input file that is not what it was when the stage was planned, as a message; else empty."""
    found: list[str] = []
    map_inputs(stage, spec, lambda key, file: _check(key, file, found))
    return found[0] if found else ""


def _check(key: str, planned: InputContent, found: list[str]) -> InputContent:
    try:
        here = "" if found else read_input(planned.path).sha256
    except PipelineError as error:
        here = str(error)
    if not found and here != planned.sha256:
        what = here if here.startswith("cannot") else "it has another content than when the run was submitted"
        found.append(
            f"{key}={planned.path}: {what}; put it back (sha256 {planned.sha256[:12]}…), or type the run's command "
            f"again: with another content the stage runs again, in a folder of its own"
        )
    return planned


def map_inputs(stage: str, spec: StageSpec, change: Callable[[str, InputContent], InputContent]) -> StageSpec:
    """The spec with each input file replaced by what `change(key, file)` gives for it."""
    return msgspec.structs.replace(spec, parameters=_mapped(spec.parameters, f"stages.{stage}", change))


def _mapped(value: Any, key: str, change: Callable[[str, InputContent], InputContent]) -> Any:
    if isinstance(value, list):
        return [_mapped(inner, f"{key}[{number}]", change) for number, inner in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if set(value) == {FILE}:
        return {FILE: msgspec.to_builtins(change(key, InputContent(**value[FILE])))}
    if set(value) == {STAGE}:
        of_class = f"{key.rpartition('.')[0]}.{value[STAGE]['target'].rpartition(':')[2]}"
        return {STAGE: {**value[STAGE], "parameters": _mapped(value[STAGE]["parameters"], of_class, change)}}
    return {name: _mapped(inner, f"{key}.{name}", change) for name, inner in value.items()}
