"""Fields of a configuration: default, help and checks stand beside the field, and are read from there.

`option` declares a field of an attrs class. A class that is filled from a file or a command line is made by
`convert`, so that every message names the full key. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Optional, TypeVar, get_args, get_origin, get_type_hints

import attrs
import msgspec

from hpcurate.errors import ConfigError
from hpcurate.other_tools import ours

__all__ = [
    "NEEDED",
    "above_zero",
    "check_given",
    "check_keys",
    "check_renamed",
    "check_values",
    "convert",
    "defaults_of",
    "full_key",
    "in_yaml",
    "names_of",
    "option",
    "suggestion",
]

Made = TypeVar("Made")
NEEDED: Any = attrs.NOTHING
"""Stands for the default of an option that has none."""


def option(
    default: Any,
    help: str,
    *,
    converter: Optional[Callable[[Any], Any]] = None,
    formerly: str = "",
    minimum: Optional[float] = None,
    choices: Sequence[str] = (),
    check: Optional[Callable[[Any], object]] = None,
) -> Any:
    """A field of a configuration with its help.

    `default` is a value, a function without arguments that makes one, or NEEDED. `formerly` is a name that the field
    had: it is refused, naming the new one. A value below `minimum`, outside `choices` or for which `check` raises
    ConfigError is refused by `convert` and `check_values`; None is checked only for its type.
    """
    more = {"formerly": formerly, "minimum": minimum, "choices": tuple(choices), "check": check}
    metadata = {"help": help, **{name: value for name, value in more.items() if value not in (None, (), "")}}
    made = attrs.Factory(default) if callable(default) else default
    return attrs.field(default=made, metadata=metadata, converter=_as_tuple if converter is tuple else converter)


def _as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    """`tuple`, with a signature that attrs finds without compiling Python's own grammar."""
    return tuple(values)


def names_of(cls: type) -> list[str]:
    """Fields that may be set, by their names in the constructor."""
    return [field.alias or field.name for field in attrs.fields(cls) if field.init]


def defaults_of(cls: type) -> dict[str, Any]:
    """Every field that has a default, as plain data. Fields that are classes of fields are mappings."""
    made = {}
    for field in attrs.fields(cls):
        default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
        if field.init and default is not NEEDED:
            made[field.name] = attrs.asdict(default) if attrs.has(type(default)) else default
    return made


def suggestion(wrong: str, names: Iterable[str]) -> str:
    """`did you mean …?`, ours for a word of another tool, or all there is."""
    from difflib import get_close_matches  # here: no worker misspells

    names = list(names)
    if word := ours(wrong):
        return f"here: {word}"
    close = get_close_matches(wrong, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names) or 'none'}"


def no_such_choice(choices: Iterable[Any]) -> str:
    """What is said of a value that is none of a few: all of them, as the nearest word may mean the opposite."""
    return f"there is no such choice; there are: {', '.join(map(str, choices))}"


def choices_of(hint: Any) -> tuple[Any, ...]:
    """The values that a type lists (`Literal`, also beside None); none if it lists none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for one in get_args(hint) if get_origin(one) is Literal for value in get_args(one))


def check_keys(given: Iterable[Any], names: Sequence[str], where: str = "", also: Sequence[str] = ()) -> None:
    """Raise ConfigError for the first key that is none of `names`. `also` are keys that may have been meant."""
    for key in given:
        if key not in names:
            raise ConfigError(f"{full_key(where, key)}: there is no such key; {suggestion(str(key), [*names, *also])}")


def check_given(given: Mapping[str, Any], where: str = "") -> None:
    """Raise ConfigError for the first value that is `???`: Hydra's word for one that is still to be given."""
    for key, value in given.items():
        if value == "???":
            raise ConfigError(f"{full_key(where, key)}=???: it needs a value")


def check_renamed(given: Iterable[Any], cls: type, where: str = "") -> None:
    """Raise ConfigError for a key that a field of the class was formerly called."""
    now = {field.metadata["formerly"]: field.name for field in attrs.fields(cls) if "formerly" in field.metadata}
    for key in given:
        if key in now:
            raise ConfigError(f"{full_key(where, key)}: this key has another name now: {full_key(where, now[key])}")


def convert(cls: type[Made], values: Any, where: str = "") -> Made:
    """An attrs class from a mapping. `where` is the key of the mapping, or the file that holds it, ending in `: `.

    Raises ConfigError that names the full key: unknown keys, wrong types, and what the fields' checks refuse.
    """
    if attrs.has(type(values)):
        return values  # type: ignore[no-any-return]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}={values!r}: expected a mapping")
    check_renamed(values, cls, where)
    check_keys(values, names_of(cls), where)
    _check_needed(values, cls, where)
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    made = cls(**{key: _of_type(hints.get(key, Any), value, full_key(where, key)) for key, value in values.items()})
    check_values(made, where)
    return made


def checked(made: Made, where: str) -> Made:
    """A value that Python code has made, as `convert` would have made it. Raises ConfigError as that does."""
    fields = attrs.fields(type(made))  # type: ignore[arg-type]
    return convert(
        type(made), {field.alias or field.name: getattr(made, field.name) for field in fields if field.init}, where
    )


@functools.lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    """Type of each field by its name in the constructor; Any where a converter of the class's own makes the value.

    A user's class may name types that exist only for a type checker: then its values are not checked here.
    """
    try:
        hints = get_type_hints(cls)
    except NameError:
        return {}
    own = {field.name for field in attrs.fields(cls) if field.converter and "help" not in field.metadata}
    return {
        field.alias or field.name: Any if field.name in own else hints.get(field.name, Any)
        for field in attrs.fields(cls)
    }


def _check_needed(values: Mapping[str, Any], cls: type, where: str) -> None:
    for field in attrs.fields(cls):
        if field.init and field.default is NEEDED and (field.alias or field.name) not in values:
            raise ConfigError(f"{full_key(where, field.name)}: needs a value: {field.metadata.get('help', '')}")


def _of_type(hint: Any, value: Any, key: str) -> Any:
    """The value as its type has it; what a command line or YAML spells otherwise is understood (`2` for a text)."""
    if isinstance(hint, type) and attrs.has(hint):
        return convert(hint, value, key)
    if hint in (str, Optional[str]) and isinstance(value, (int, float)):
        return str(value)
    try:
        return msgspec.convert(value, hint, strict=not isinstance(value, str), dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{key}={value!r}: {in_yaml(error, value)}") from None


def in_yaml(error: msgspec.ValidationError, value: Any) -> str:
    """What was expected, in the words of YAML; one value where a list belongs, as a list. Pure."""
    said = str(error).replace("`array", "`list").replace("`object", "`mapping")
    if said.startswith("Expected `mapping"):
        return f"{said}; type {{NAME: …}}"
    alone = said.startswith("Expected `list") and isinstance(value, (str, int, float))
    return f"{said}; type [{value}]" if alone else said


def _path(kind: type, value: Any) -> Any:
    from pathlib import PurePath  # here: few fields are paths, and none of what a gate reads

    if issubclass(kind, PurePath):
        return kind(value)
    raise TypeError(kind)


def check_values(made: Any, where: str) -> None:
    """Raise ConfigError if a field's check refuses its value; `convert` does, Python code that makes one may not."""
    for field in attrs.fields(type(made)):
        value = getattr(made, field.name)
        if value is not None and field.metadata:
            _check(field.metadata, value, full_key(where, field.name))


def above_zero(value: float) -> None:
    """A check for `option`."""
    if not value > 0:
        raise ConfigError("must be above 0")


def _check(rules: Mapping[str, Any], value: Any, key: str) -> None:
    shown = f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
    minimum: Optional[float] = rules.get("minimum")
    if minimum is not None and value < minimum:
        raise ConfigError(f"{shown}: must be at least {minimum:g}")
    choices = rules.get("choices", ())
    if choices and value not in choices:
        raise ConfigError(f"{shown}: {no_such_choice(choices)}")
    if "check" in rules:
        try:
            rules["check"](value)
        except ConfigError as error:
            raise ConfigError(f"{shown}: {error}") from None


def full_key(where: str, key: Any) -> str:
    """`stages.split` and `fps` → `stages.split.fps`; below a file: `site.yaml: account`. Pure."""
    if not where or where.endswith(": "):
        return f"{where}{key}"
    return f"{where}.{key}"
