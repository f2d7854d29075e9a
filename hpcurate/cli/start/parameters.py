"""Parameters of a pipeline: what its files declare below `params`, and what a command gives to them. Pure.

`--help` is made from these values, and so can a form be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from hpcurate.cli.start.overrides import key_of, value_of
from hpcurate.errors import ConfigError
from hpcurate.fields import check_keys, convert, full_key, no_such_choice, option, suggestion

UNSET = "???"
"""The value of a parameter that whoever runs the pipeline gives."""
TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "path": str}
TEXTS = ("str", "path")
SINGLE = ("int", "float", "str", "bool", "path")
"""Types that `choices` can be of."""
_REFERENCE = re.compile(r"\bparams(?:\.|\[['\"]?)(\w+)")
"""Somewhere in an interpolation, as in `${params.x}`, `${params[x]}`, `${oc.select:params.x,1}`."""
_PLAIN_REFERENCE = re.compile(r"(?<!\\)\$\{\s*params\.(\w+)\s*\}")


@attrs.define(frozen=True, kw_only=True)
class Parameter:
    """A parameter as the files of a pipeline declare it: below its name stands its default, or a mapping of these."""

    name: str
    file: str
    """Where it is declared."""
    default: Any = option(UNSET, "value if none is given; ???: it must be given")
    help: str = option("", "what it means")
    type: str | None = option(None, "default: that of the default; without either, any value", choices=tuple(TYPES))
    choices: tuple[Any, ...] = option((), "the values that it may have; default: any of its type")

    @property
    def required(self) -> bool:
        """Whether a command must give it."""
        return bool(self.default == UNSET)


WRITTEN = ("default", "help", "type", "choices")
"""Keys of a declaration."""
Layer = tuple[str, Any]
"""A file, and what stands below `params` in it."""


# -- what is declared -------------------------------------------------------------------------------


def declared(layers: Iterable[Layer]) -> dict[str, Parameter]:
    """Name → parameter. A later file adds to an earlier one, or sets another default; type and help stay.

    Raises ConfigError that names file and key.
    """
    made: dict[str, Parameter] = {}
    for file, written in layers:
        if not isinstance(written, Mapping):
            raise ConfigError(f"{file}: params: expected names with their defaults, got {written!r}")
        for name, entry in written.items():
            made[str(name)] = _declared(file, str(name), entry, made.get(str(name)))
    return made


def _declared(file: str, name: str, entry: Any, before: Parameter | None) -> Parameter:
    where = f"{file}: params.{name}"
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ConfigError(f"{where}: expected a name of letters, digits and _, as in ${{params.name}}")
    given = dict(entry) if isinstance(entry, Mapping) else {"default": entry}
    try:
        check_keys(given, WRITTEN, where)
    except ConfigError as error:
        raise ConfigError(f"{error}; a default that is a mapping is written {{default: {{…}}, type: dict}}") from None
    first = before or Parameter(name=name, file=file)
    one = convert(Parameter, {**attrs.asdict(first), **given}, where)
    one = attrs.evolve(one, type=one.type or _type_of([one.default]) or _type_of(one.choices))
    if one.choices and one.type not in SINGLE:
        raise ConfigError(f"{where}.choices: expected with a type of {', '.join(SINGLE)}, not {one.type}")
    one = attrs.evolve(one, choices=tuple(_of_type(one, value, f"{where}.choices") for value in one.choices))
    _checked(one, one.default, f"{where}.default" if isinstance(entry, Mapping) else where)
    return one


def _type_of(values: Iterable[Any]) -> str | None:
    """The type that all these values have, if that is known."""
    names = {type(value).__name__ for value in values if value not in (None, UNSET) and not _is_symbol(value)}
    return names.pop() if len(names) == 1 and names <= TYPES.keys() else None


def _is_symbol(value: Any) -> bool:
    """Whether another value stands for it: `${input}`, or `${oc.env:NAME}` of a secret, which stays so."""
    return isinstance(value, str) and re.fullmatch(r"\$\{[^{}]*\}", value) is not None


def refuse_taken(parameters: Mapping[str, Parameter], taken: Mapping[str, Iterable[str]]) -> None:
    """Raise ConfigError for a parameter with a name that something else has: `taken` has the names by what they are."""
    for one in parameters.values():
        for what, names in taken.items():
            if one.name in names:
                raise ConfigError(
                    f"params.{one.name}: {one.name!r} is {what}, and what is typed for the one is easily meant for "
                    f"the other; give the parameter another name in {one.file}"
                )


# -- what is given ----------------------------------------------------------------------------------


def split_off(overrides: Sequence[str], groups: Sequence[str]) -> tuple[list[str], list[str]]:
    """(overrides of parameters, the others): Hydra would put a value in the place of the declaration.

    `+params=small` is one of the others where there is a group of config files of that name.
    """
    ours = [word for word in overrides if re.match(r"params(\.|$)", key_of(word))]
    ours = [word for word in ours if "params" not in groups or key_of(word) != "params"]
    return ours, [word for word in overrides if word not in ours]


def given(parameters: Mapping[str, Parameter], overrides: Sequence[str]) -> dict[str, Any]:
    """Name → value of what was typed. Raises ConfigError for what is no parameter, with what to type instead."""
    return {(name := _name(parameters, word)): _typed(parameters[name], word) for word in overrides}


def _name(parameters: Mapping[str, Parameter], override: str) -> str:
    key = key_of(override)
    name, *below = key.split(".")[1:] or [""]
    if not name:
        raise ConfigError(f"{key}: type params.NAME=VALUE, once for each parameter")
    if not parameters:
        raise ConfigError(f"{key}: this pipeline has no parameters; type --help after +pipeline=NAME for what it has")
    if name not in parameters:
        raise ConfigError(f"{key}: this pipeline has no such parameter; {suggestion(name, parameters)}")
    if override.startswith("~"):
        raise ConfigError(f"~{key}: a parameter cannot be left out; type params.{name}=VALUE for another value")
    if below:
        raise ConfigError(f"{key}: a parameter is set as a whole; type params.{name}=VALUE")
    if override.startswith("+") and not override.startswith("++"):
        raise ConfigError(f"+{key}: this pipeline has it, so there is nothing to add; type {key}= without a plus sign")
    return name


def _typed(one: Parameter, override: str) -> Any:
    """The value; for a text as it was typed, where the grammar has seen a number in it (`1.10`)."""
    value = value_of(override)
    as_text = one.type in TEXTS and isinstance(value, (bool, int, float))
    return override.partition("=")[2].strip() if as_text else value


# -- what it has --------------------------------------------------------------------------------------


def checked(parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved values, each of its type. Raises ConfigError for all that are unset, or the first wrong one."""
    unset = [parameters[name] for name, value in values.items() if value == UNSET]
    if unset:
        named = ", ".join(f"params.{one.name}" + (f" ({one.help})" if one.help else "") for one in unset)
        words = " ".join(f"params.{one.name}={(one.type or 'value').upper()}" for one in unset)
        raise ConfigError(f"{named}: ??? is no value, give one: {words}")
    return {name: _checked(parameters[name], value, f"params.{name}") for name, value in values.items()}


def _checked(one: Parameter, value: Any, key: str) -> Any:
    value = _of_type(one, value, key)
    if one.choices and value not in (*one.choices, None, UNSET) and not _is_symbol(value):
        raise ConfigError(f"{key}={value}: {no_such_choice(one.choices)}")
    return value


def _of_type(one: Parameter, value: Any, key: str) -> Any:
    """A command line's or YAML's other spellings are understood: `2` for a float or a text, `"2"` for an int."""
    null = value is None and (one.default is None or _is_symbol(one.default))
    if one.type is None or value == UNSET or null or _is_symbol(value):
        return value
    if one.type in TEXTS and isinstance(value, (int, float)):
        value = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        made: Any = msgspec.convert(value, TYPES[one.type], strict=not isinstance(value, str))
    except msgspec.ValidationError:
        got = f"{value!r} is of type {type(value).__name__}" if value is not None else "null is none"
        hint = f"; type '{key}=[a,b]'" if one.type == "list" else f"; type '{key}={{a: 1}}'" * (one.type == "dict")
        raise ConfigError(f"{key}: expected {one.type}, as {one.file} declares, but {got}{hint}") from None
    return os.path.expanduser(made) if one.type == "path" else made


# -- what uses it -------------------------------------------------------------------------------------


def unused(parameters: Mapping[str, Parameter], config: Mapping[str, Any]) -> list[Parameter]:
    """Those that an unresolved configuration does not refer to. Raises ConfigError where it refers to one not there."""
    texts = [(key, text) for key, text in texts_in(config) if "${" in text]
    for key, text in texts:
        for name in _PLAIN_REFERENCE.findall(text):
            if name not in parameters:
                near = suggestion(name, parameters)
                raise ConfigError(f"{key}: ${{params.{name}}}: the pipeline declares no such parameter; {near}")
    if any(re.search(r"\$\{\s*params\s*\}", text) for _, text in texts):
        return []
    used = {name for _, text in texts for name in _REFERENCE.findall(text)}
    return [one for one in parameters.values() if one.name not in used]


def refuse_without_effect(unused: Iterable[Parameter], given: Mapping[str, Any]) -> None:
    """Raise ConfigError for a value that was given to a parameter that nothing uses."""
    for one in unused:
        if one.name in given:
            raise ConfigError(
                f"params.{one.name}: no stage uses it, so a value has no effect; leave it out (it is declared in "
                f"{one.file})"
            )


def texts_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of all texts in plain data."""
    if isinstance(value, str):
        yield key, value
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from texts_in(one, full_key(key, name))
