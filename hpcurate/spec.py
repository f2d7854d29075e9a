"""How a stage crosses from the driver to a stage process: `module:qualname` and plain parameters.

No pickle: the stage process imports the class in its own environment and constructs it again. Runs in
every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Optional, get_args, get_type_hints

import attrs
import msgspec

from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import check_keys, choices_of, no_such_choice
from hpcurate.masks import keep
from hpcurate.secrets import SYMBOL
from hpcurate.stage import Stage, constructor
from hpcurate.task import Task

__all__ = [
    "FILE",
    "STAGE",
    "InputContent",
    "InputFile",
    "Secret",
    "StageSpec",
    "coerce_parameters",
    "find_class",
    "find_task",
    "from_spec",
    "input_arguments",
    "plain_value",
    "to_spec",
]

STAGE, FILE = "$stage", "$file"
"""Keys under which a stage, and a file with its content, stand among plain parameters."""


class InputFile(str):
    """Parameter type: the path of a file that the stage reads. Fingerprinted by content, not by name."""


class Secret(str):
    """A parameter's value that was read from the environment: it is what it is, and no text with places for others."""


@attrs.define(frozen=True, kw_only=True)
class InputContent:
    """An input file with what was in it when its stage was planned."""

    path: str
    size: int
    sha256: str


@attrs.define(frozen=True)
class StageSpec:
    """Class and constructor arguments of a stage, as plain values."""

    target: str
    """`module:qualname`."""
    parameters: dict[str, Any] = attrs.field(factory=dict)
    """Constructor arguments that differ from their defaults or were given; JSON values only."""


def to_spec(stage: Stage[Any, Any], read: Optional[Callable[[str], InputContent]] = None) -> StageSpec:
    """Plain form of a constructed stage; where `read` is given, with the content of its input files."""
    cls = type(stage)
    given = stage.arguments() if read is None else input_arguments(stage)
    return StageSpec(f"{cls.__module__}:{cls.__qualname__}", {k: plain_value(v, read) for k, v in given.items()})


def input_arguments(stage: Stage[Any, Any]) -> dict[str, Any]:
    """Constructor arguments as given; those that are, or hold, input files as such, also where they are defaults.

    Raises PipelineError where the annotations that say so cannot be evaluated.
    """
    cls = type(stage)
    hints = type_hints(cls)
    arguments = stage.arguments()
    for name, parameter in constructor(cls).items():
        if name not in hints and "InputFile" in str(parameter.annotation):
            raise PipelineError(
                f"{cls.__qualname__}: the annotations of its parameters cannot be evaluated, so {name} would not be "
                f"read as an InputFile; import what they name outside of `if TYPE_CHECKING`"
            )
        value = arguments.get(name, parameter.default)
        if value not in (None, inspect.Parameter.empty) and _names_file(hints.get(name)):
            arguments[name] = _convert(name, value, hints[name])
    return arguments


def _names_file(hint: Any) -> bool:
    return hint is InputFile or any(_names_file(inner) for inner in get_args(hint))


def from_spec(spec: StageSpec, *, secrets: bool = False) -> Stage[Any, Any]:
    """Construct the stage again. With `secrets`, `${oc.env:NAME}` values are read from the environment.

    Raises PipelineError or ConfigError naming the parameter.
    """
    cls = find_class(spec.target)
    given = {name: _alive(value, secrets) for name, value in spec.parameters.items()}
    return cls(**coerce_parameters(cls, given))


def find_class(target: str) -> type[Stage[Any, Any]]:
    """The stage class that `module:qualname` names. Raises PipelineError with the cause."""
    found = _find(target, "stage class")
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise PipelineError(f"{target!r} is not a Stage class but {found!r}")
    return found


def find_task(target: str) -> type[Task]:
    """The class of tasks that `module:qualname` names. Raises PipelineError with the cause."""
    found = _find(target, "class of tasks")
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise PipelineError(f"{target!r} is not a class of tasks but {found!r}")
    return found


def _find(target: str, what: str) -> Any:
    module_name, _, qualname = (
        target.replace(":", ".", 1).rpartition(".") if ":" not in target else target.partition(":")
    )
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module of the user's may raise anything at import
        raise PipelineError(
            f"cannot import {what} {target!r}: {type(error).__name__}: {error}{_where(error, module_name)}"
        ) from error
    return found


def _where(error: Exception, module_name: str) -> str:
    """Where the stage's own module was looked for, if that is what is not there: a name is relative to a folder."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None or not f"{module_name}.".startswith(f"{missing}."):
        return ""
    return f"; it is looked for in the folder where you type the command ({os.getcwd()}), and among packages"


def coerce_parameters(cls: type[Stage[Any, Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Check names and convert values to the constructor's annotated types.

    Raises ConfigError whose message starts with the parameter's name.
    """
    signature = constructor(cls)
    names = list(signature)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.values())
    hints = type_hints(cls)
    result = {}
    for name in given:
        if name in cls.moved:
            raise ConfigError(f"{name}: has moved; it is now {cls.moved[name]}")
    if not open_ended:
        check_keys(given, names)
    for name, value in given.items():
        result[name] = _convert(name, value, hints.get(name, Any))
    for name in names:
        missing = signature[name].default is inspect.Parameter.empty
        if missing and name not in result and signature[name].kind is not inspect.Parameter.VAR_KEYWORD:
            raise ConfigError(f"{name}: {cls.__qualname__} needs a value for it")
    return result


def type_hints(cls: type) -> dict[str, Any]:
    """Annotations of the constructor, where they can be evaluated."""
    try:
        return get_type_hints(inspect.getattr_static(cls, "__init__"))
    except Exception:  # e.g. `int | None` evaluated on Python 3.9: the driver has checked already
        return {}


def _convert(name: str, value: Any, hint: Any) -> Any:
    if hint is Any or _holds_stage(value) or (isinstance(value, str) and SYMBOL.fullmatch(value)):
        return value
    if hint is str and not isinstance(value, str):
        return str(value)
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str) or hint is str, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        listed = choices_of(hint)
        if listed:
            raise ConfigError(f"{name}: {value!r}: {no_such_choice(listed)}") from None
        raise ConfigError(f"{name}: {error}, got {value!r}") from None
    except TypeError:
        return value


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, (InputFile, PurePath)):
        return value if isinstance(value, kind) else kind(value)
    raise TypeError(kind)


def _holds_stage(value: Any) -> bool:
    return isinstance(value, Stage) or (isinstance(value, list) and any(isinstance(v, Stage) for v in value))


def plain_value(value: Any, read: Optional[Callable[[str], InputContent]] = None) -> Any:
    """A parameter as JSON holds it. Raises PipelineError for what is no plain data."""
    if isinstance(value, Stage):
        return {STAGE: attrs.asdict(to_spec(value, read), recurse=False)}
    if isinstance(value, (list, tuple)):
        return [plain_value(v, read) for v in value]
    if isinstance(value, dict):
        return {str(k): plain_value(v, read) for k, v in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, InputFile):
        return str(value) if read is None else {FILE: attrs.asdict(read(value))}
    if isinstance(value, PurePath):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise PipelineError(f"a stage parameter must be plain data (number, text, list, dict), got {value!r}")


def _alive(value: Any, secrets: bool) -> Any:
    if isinstance(value, dict):
        if set(value) == {STAGE}:
            return from_spec(StageSpec(**value[STAGE]), secrets=secrets)
        if set(value) == {FILE}:
            return InputFile(value[FILE]["path"])
        return {k: _alive(v, secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [_alive(v, secrets) for v in value]
    if secrets and isinstance(value, str):
        return _secret(value)
    return value


def _secret(value: str) -> Optional[str]:
    match = SYMBOL.fullmatch(value)
    if not match:
        return value
    found = os.environ.get(match[1], match[2])
    if found is None:
        raise ConfigError(f"environment variable {match[1]} is not set on this node; export it before submitting")
    keep(match[1], found)
    return Secret(found)
