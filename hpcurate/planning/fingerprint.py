"""Identity of a stage: what determines its output, and nothing else. Pure but for reading sources."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from hpcurate.command import Command
from hpcurate.errors import PipelineError
from hpcurate.members import stages_in
from hpcurate.planning.inputs import read_input
from hpcurate.planning.modules import imported_names, own_code, syntax_digest
from hpcurate.planning.programs import program_modules
from hpcurate.spec import STAGE, InputContent, InputFile, coerce_parameters, input_arguments, plain_value, to_spec
from hpcurate.stage import Chain, Stage, constructor

__all__ = ["stage_identity", "versioned_code"]


Read = Callable[[str], InputContent]
"""Path → an input file's content."""


def stage_identity(stage: Stage[Any, Any], read: Read = read_input) -> dict[str, Any]:
    """The readable parts of a stage's fingerprint: class, version, parameters that differ from defaults.

    Without a version the code takes its place: the class's module, and each of the user's modules that it imports.
    A chain's identity is that of its members. Resources, environment and slicing are not part of it, and parameters
    that the class lists as `operational` are not. Modules that a command runs, or that a parameter names, are.
    """
    if isinstance(stage, Chain):
        return {"chain": [stage_identity(member, read) for member in stage.stages]}
    cls = type(stage)
    identity = {"class": to_spec(stage).target, "version": f"v{stage.version}", "parameters": _parameters(stage, read)}
    if isinstance(stage, Command) or stage.loads():
        code = own_code(program_modules(stage))
        return {**identity, **({"code": code} if code else {})}
    if stage.version is not None:
        return identity
    source = _source(stage)
    code = own_code(_modules(cls, source), without=[cls.__module__])
    return {**identity, "version": f"syntax:{syntax_digest(source)}", **({"code": code} if code else {})}


def versioned_code(stage: Stage[Any, Any]) -> dict[str, str]:
    """`package/module.py` → digest, of the user's code behind every class that has a version.

    No part of the identity: who gives a version answers for raising it. Recorded, so that a change is reported.
    """
    code = {}
    for one in stages_in(stage):
        if one.version is not None:
            code.update(own_code(_modules(type(one), _source(one))))
    return code


def _modules(cls: type[Stage[Any, Any]], source: bytes) -> list[str]:
    """Modules that make a class what it is: its own, those of its bases, and what its own imports."""
    package = getattr(sys.modules.get(cls.__module__), "__package__", None)
    return [*(base.__module__ for base in inspect.getmro(cls)), *imported_names(source, package)]


def _source(stage: Stage[Any, Any]) -> bytes:
    """Source of the module that defines its class; empty for one with a version that has none."""
    cls = type(stage)
    try:
        return inspect.getsource(sys.modules[cls.__module__]).encode("utf-8", "surrogateescape")
    except (OSError, TypeError, KeyError):
        if stage.version is not None:
            return b""
        raise PipelineError(
            f"{cls.__module__}:{cls.__qualname__} has no source file to take a digest of; "
            f"put the class into a .py file, or give it `version = 1`"
        ) from None


def _parameters(stage: Stage[Any, Any], read: Read) -> dict[str, Any]:
    cls = type(stage)
    signature = constructor(cls)
    defaults = {n: p.default for n, p in signature.items() if p.default is not inspect.Parameter.empty}
    result = {}
    for name, value in coerce_parameters(cls, input_arguments(stage)).items():
        if name in cls.operational:
            continue
        if _holds_file(value) or name not in defaults or defaults[name] != value:
            result[name] = _normal(value, read)
    return result


def _holds_file(value: Any) -> bool:
    """Then what is in the file counts, even if nobody names it."""
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, InputFile) or (isinstance(value, (list, tuple)) and any(map(_holds_file, value)))


def _normal(value: Any, read: Read) -> Any:
    """The coerced value as plain data, so that 1 and 1.0 for a float are the same; an input file by content."""
    if isinstance(value, InputFile):
        return {"sha256": read(value).sha256}
    if isinstance(value, Stage):
        return {STAGE: stage_identity(value, read)}
    if isinstance(value, (list, tuple)):
        return [_normal(inner, read) for inner in value]
    if isinstance(value, dict):
        return {str(key): _normal(inner, read) for key, inner in value.items()}
    return plain_value(value)
