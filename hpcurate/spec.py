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
from typing import Any, Optional, get_args, get_origin, get_type_hints

import msgspec

from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import check_keys, choices_of, in_yaml, no_such_choice
from hpcurate.masks import keep
from hpcurate.named_stage import StageSpec
from hpcurate.results import RESULT, Result, is_result, result_of, results_in
from hpcurate.secrets import SYMBOL
from hpcurate.stage import Stage, constructor
from hpcurate.task import Task

__all__ = [
    "FILE",
    "STAGE",
    "Given",
    "InputContent",
    "InputFile",
    "StageSpec",
    "coerce_parameters",
    "construct",
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


class Given(str):
    """A text that was read from the environment, or is a result: it is what it is, and has no places for others."""


class InputContent(msgspec.Struct, frozen=True, kw_only=True):
    """An input file with what was in it when its stage was planned."""

    path: str
    size: int
    sha256: str


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
    return construct(cls, {name: _alive(value, secrets) for name, value in spec.parameters.items()})


def construct(cls: type[Stage[Any, Any]], given: dict[str, Any]) -> Stage[Any, Any]:
    """A stage with these parameters. One that is a result, not known yet, has its default until it is.

    Raises ConfigError whose message starts with the parameter's name.
    """
    unknown = {name: value for name, value in given.items() if _holds_result(name, value)}
    written = {name for name, value in unknown.items() if _takes_text(cls, name, value)}
    now = {name: value for name, value in given.items() if name not in unknown or name in written}
    signature = constructor(cls)
    for name in unknown.keys() - now.keys():
        parameter = signature.get(name)
        if parameter is not None and parameter.default is inspect.Parameter.empty:
            (_, result), *_ = results_in(unknown[name])
            raise ConfigError(
                f"{name}: {result} is known only when {result.stage} is done, and {cls.__qualname__} is constructed "
                f"before: the parameter needs a default, e.g. {name}=None"
            )
    stage = cls(**coerce_parameters(cls, now))
    stage.remember(unknown)
    return stage


def _holds_result(name: str, value: Any) -> bool:
    """Raises ConfigError for what is meant as one, and is none."""
    try:
        return any(True for _ in results_in(value))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _takes_text(cls: type[Stage[Any, Any]], name: str, value: Any) -> bool:
    """Whether a list or mapping may have a text where a result will stand: then it is given as it is written."""
    if result_of(value) is not None:
        return False
    try:
        hint = type_hints(cls).get(name, Any)
        msgspec.convert(value, hint, strict=True, dec_hook=_from_text)
    except msgspec.ValidationError:
        return False
    except TypeError:
        return True
    return True


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
    if _holds_result(name, value):
        return value
    if hint is str and not isinstance(value, str):
        return str(value)
    try:
        plain, strict = _as_text(value, hint), not isinstance(value, str) or hint is str
        return msgspec.convert(plain, hint, strict=strict, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        listed = choices_of(hint)
        if listed:
            raise ConfigError(f"{name}: {value!r}: {no_such_choice(listed)}") from None
        raise ConfigError(f"{name}: {in_yaml(error, value)}, got {value!r}") from None
    except TypeError:
        return value


def _as_text(value: Any, hint: Any) -> Any:
    """A number in a list or mapping of text is the text that it is, as it is by itself."""
    options = [one for one in get_args(hint) if one is not type(None)] if type(None) in get_args(hint) else []
    hint = options[0] if len(options) == 1 else hint
    if isinstance(value, list) and get_origin(hint) is list:
        return [_as_text(one, *get_args(hint)) for one in value]
    if isinstance(value, dict) and get_origin(hint) is dict:
        return {key: _as_text(one, get_args(hint)[1]) for key, one in value.items()}
    return str(value) if hint is str and isinstance(value, (int, float)) else value


def _from_text(kind: type, value: Any) -> Any:
    if issubclass(kind, (InputFile, PurePath)):
        return value if isinstance(value, kind) else kind(value)
    raise TypeError(kind)


def _holds_stage(value: Any) -> bool:
    return isinstance(value, Stage) or (isinstance(value, list) and any(isinstance(v, Stage) for v in value))


def plain_value(value: Any, read: Optional[Callable[[str], InputContent]] = None) -> Any:
    """A parameter as JSON holds it. Raises PipelineError for what is no plain data."""
    if isinstance(value, Stage):
        return {STAGE: msgspec.structs.asdict(to_spec(value, read))}
    if isinstance(value, (list, tuple)):
        return [plain_value(v, read) for v in value]
    if isinstance(value, dict):
        return {str(k): plain_value(v, read) for k, v in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, InputFile):
        return str(value) if read is None else {FILE: msgspec.to_builtins(read(value))}
    if isinstance(value, PurePath):
        return os.fspath(value)
    found = result_of(value)
    if found is not None:
        return found.plain
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise PipelineError(f"a stage parameter must be plain data (number, text, list, dict), got {value!r}")


def _alive(value: Any, secrets: bool) -> Any:
    if isinstance(value, dict):
        if set(value) == {STAGE}:
            return from_spec(StageSpec(**value[STAGE]), secrets=secrets)
        if set(value) == {FILE}:
            return InputFile(value[FILE]["path"])
        if is_result(value):
            return _result(value[RESULT], secrets)
        return {k: _alive(v, secrets) for k, v in value.items()}
    if isinstance(value, list):
        return [_alive(v, secrets) for v in value]
    if secrets and isinstance(value, str):
        return _secret(value)
    return value


def _result(plain: dict[str, Any], runs: bool) -> Any:
    """Its value; the text that it is as long as nobody knows that."""
    if "value" in plain:
        return Given(plain["value"]) if isinstance(plain["value"], str) else plain["value"]
    result = Result(plain["stage"], plain["field"])
    if runs:
        raise PipelineError(f"{result} is not known, and the stage is to run with it")
    return str(result)


def _secret(value: str) -> Optional[str]:
    match = SYMBOL.fullmatch(value)
    if not match:
        return value
    found = os.environ.get(match[1], match[2])
    if found is None:
        raise ConfigError(f"environment variable {match[1]} is not set on this node; export it before submitting")
    keep(match[1], found)
    return Given(found)
