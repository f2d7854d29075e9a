"""Identity of a stage: what determines its output, and nothing else. Pure but for reading sources."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any, get_args

from hpcurate.errors import PipelineError
from hpcurate.spec import InputFile, coerce_parameters, plain_value, to_spec, type_hints
from hpcurate.stage import Chain, Stage, constructor

__all__ = ["stage_identity", "syntax_digest"]


def stage_identity(stage: Stage[Any, Any]) -> dict[str, Any]:
    """The readable parts of a stage's fingerprint: class, version, parameters that differ from defaults.

    A chain's identity is that of its members. Resources, environment and slicing are not part of it.
    """
    if isinstance(stage, Chain):
        return {"chain": [stage_identity(member) for member in stage.stages]}
    cls = type(stage)
    version = f"v{stage.version}" if stage.version is not None else f"syntax:{syntax_digest(cls)}"
    return {"class": to_spec(stage).target, "version": version, "parameters": _parameters(stage)}


def _parameters(stage: Stage[Any, Any]) -> dict[str, Any]:
    cls = type(stage)
    given = coerce_parameters(cls, stage.arguments())
    signature = constructor(cls)
    defaults = {n: p.default for n, p in signature.items() if p.default is not inspect.Parameter.empty}
    result = {}
    for name, value in coerce_parameters(cls, {**_files(cls, defaults), **given}).items():
        if isinstance(value, InputFile) or name not in defaults or defaults[name] != value:
            result[name] = _normal(value)
    return result


def _files(cls: type[Stage[Any, Any]], defaults: dict[str, Any]) -> dict[str, Any]:
    """Defaults that are input files: what is in them counts even if nobody names them."""
    hints = type_hints(cls)
    return {n: d for n, d in defaults.items() if d is not None and InputFile in (hints.get(n), *get_args(hints.get(n)))}


def _normal(value: Any) -> Any:
    """The coerced value as plain data, so that 1 and 1.0 for a float are the same; an input file by content."""
    if isinstance(value, InputFile):
        return _content(value)
    if isinstance(value, (list, tuple)):
        return [_normal(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): _normal(inner) for key, inner in value.items()}
    return plain_value(value)


def _content(path: InputFile) -> dict[str, str]:
    try:
        return {"sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    except OSError as error:
        raise PipelineError(f"cannot read the input file {str(path)!r}: {error.strerror}") from None


def syntax_digest(cls: type) -> str:
    """Digest of the syntax tree of the module that defines `cls`: comments and layout do not count.

    Normalised by `ast.unparse`, which is steadier across Python versions than `ast.dump`.
    """
    try:
        source = inspect.getsource(sys.modules[cls.__module__])
    except (OSError, TypeError, KeyError):
        raise PipelineError(
            f"{cls.__module__}:{cls.__qualname__} has no source file to take a digest of; "
            f"put the class into a .py file, or give it `version = 1`"
        ) from None
    return hashlib.sha256(ast.unparse(ast.parse(source)).encode()).hexdigest()[:16]
