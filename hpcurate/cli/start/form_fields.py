"""The form of a pipeline: its parameters, those of its stages, its secrets, and where its run is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

from hpcurate.cli.config_fields import Field as ConfigField
from hpcurate.cli.start.compose import chosen, compose
from hpcurate.cli.start.overrides import Typed
from hpcurate.cli.start.parameters import UNSET, Parameter, texts_in
from hpcurate.cli.start.pipeline_help import Entry, about_of, entries
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.store_choice import find_store
from hpcurate.errors import ConfigError
from hpcurate.form.fields import ENVIRONMENT, Field, Form, Kind, Part, shown
from hpcurate.secrets import MAY_BE_SECRET, SYMBOL, is_secret

LAUNCHED = ("auto", "slurm", "local")
"""Where a run that the form starts may work: another place is typed with the form."""
_KINDS: Mapping[str | None, Kind] = {
    "int": "integer", "float": "number", "str": "text", "bool": "switch", "path": "text", "Path": "text",
}  # fmt: skip
_TEXTS = ("str | None", "Optional[str]", "Path | None", "Optional[Path]")


def form_of(typed: Typed) -> Form:
    """Raises UserError where the pipeline cannot be composed, or has a class that is not there."""
    composed = compose(typed.overrides, typed.paths, typed.config_dirs)
    plain = composed.unresolved()
    pipeline = chosen(typed.overrides, typed.config_dirs).get("pipeline", str(plain["name"]))
    fields = [_parameter(one, plain["params"][one.name]) for one in composed.parameters.values()]
    secrets = (*(field for field in fields if field.kind == "secret"), *_variables(plain))
    parts = [
        _run_part(plain, typed),
        Part(title="Parameters", fields=tuple(field for field in fields if field.kind != "secret")),
        Part(title="Secrets", about="By name: their values are in your own file, and stay there.", fields=secrets),
        *(_stage_part(entry) for entry in entries(plain)),
    ]
    return Form(
        pipeline=pipeline,
        about=tuple(about_of(pipeline, typed.config_dirs)),
        parts=tuple(part for part in parts if part.fields),
        words=typed.words,
        config_dirs=typed.config_dirs,
    )


# -- the run --------------------------------------------------------------------------------------------


def _run_part(plain: Mapping[str, Any], typed: Typed) -> Part:
    fields = [_path("input", typed)] if _refers(plain, "input") else []
    fields += [_store(typed, plain), _path("output", typed)]
    limit = plain.get("limit")
    fields.append(_setting("limit", "integer", text="" if limit is None else str(limit)))
    return Part(title="Run", fields=(*fields, _launcher(typed)))


def _path(key: str, typed: Typed) -> Field:
    return _setting(key, "literal", text=typed.paths.get(key, ""))


def _store(typed: Typed, plain: Mapping[str, Any]) -> Field:
    """Named in each command: who looks at a run later need not guess in which store it is."""
    store = typed.paths.get("store", "")
    if not store:
        try:
            store = os.path.abspath(find_store(None, plain.get("site")))
        except ConfigError:
            store = ""
    return _setting("store", "literal", text=store, required=True, always=True)


def _setting(key: str, kind: Kind, **more: Any) -> Field:
    return Field(key=key, kind=kind, help=_helps()[key], **more)


def _helps() -> dict[str, str]:
    return {field.name: str(field.metadata["help"]) for field in attrs.fields(Settings)}


def _launcher(typed: Typed) -> Field:
    given = next((word.partition("=")[2] for word in typed.words if word.startswith("launcher=")), "auto")
    return Field(
        key="launcher",
        kind="choice",
        help="slurm: jobs, which go on by themselves; local: this machine, until it is done, also when this page ends",
        text=given,
        choices=tuple(dict.fromkeys((*LAUNCHED, given))),
    )


def _refers(value: Any, key: str) -> bool:
    return any(re.search(rf"\$\{{\s*{key}\s*\}}", text) for _, text in texts_in(value))


# -- parameters and secrets -----------------------------------------------------------------------------


def _parameter(one: Parameter, value: Any) -> Field:
    key = f"params.{one.name}"
    required = value == UNSET
    if is_secret(one.name):
        return _secret_parameter(key, one.help, value)
    kind: Kind = "choice" if one.choices else _KINDS.get(one.type, "data")
    choices = (True, False) if kind == "switch" else one.choices
    text, usual = _stands(value, kind)
    return Field(
        key=key, kind=kind, type=one.type or "any", help=one.help, required=required,
        text=text, usual=usual, choices=choices,
    )  # fmt: skip


def _secret_parameter(key: str, help: str, value: Any) -> Field:
    symbol = SYMBOL.fullmatch(value) if isinstance(value, str) else None
    if symbol is None:
        return Field(key=key, kind="secret", help=help, required=value == UNSET)
    return msgspec.structs.replace(_variable(symbol[1], symbol[2]), key=key, help=help)


def _stands(value: Any, kind: Kind) -> tuple[str, str]:
    """(what stands in a field at first, what holds while nothing stands in it)."""
    if value is None or value == UNSET:
        return "", "null" if value is None else ""
    if "${" in shown(value):  # what is written into a field stands for itself
        return "", shown(value)
    return (value if isinstance(value, str) and kind != "data" else shown_data(value)), ""


def shown_data(value: Any) -> str:
    """As YAML reads it back: a text that looks like a number is in quotes."""
    return shown(value) if not isinstance(value, str) else shown([value])[1:-1]


def _variables(plain: Mapping[str, Any]) -> Iterator[Field]:
    """Those that the pipeline itself reads, and that are secrets; of each the default that it has somewhere."""
    found: dict[str, str] = {}
    others = {name: value for name, value in plain["params"].items() if not is_secret(name)}
    for key, text in texts_in({"source": plain.get("source"), "stages": plain["stages"], "params": others}):
        for name, default in SYMBOL.findall(text):
            if MAY_BE_SECRET.search(name) or any(map(is_secret, key.split("."))):
                found[name] = found.get(name) or default
    return (_variable(name, default) for name, default in found.items())


def _variable(name: str, default: str | None) -> Field:
    here, default = name in os.environ, (default or "").strip()
    usual = "from the environment of this page" if here else "the pipeline's default" if default else ""
    help = f"the variable {name}, which stages of this pipeline read"
    return Field(key=ENVIRONMENT + name, kind="secret", help=help, usual=usual, required=not here and not default)


# -- stages ---------------------------------------------------------------------------------------------


def _stage_part(entry: Entry) -> Part:
    fields = tuple(_stage_field(entry, field) for field in entry.fields if not _has_its_own(entry, field))
    return Part(title=entry.key, about=entry.about, fields=fields, closed=True)


def _has_its_own(entry: Entry, field: ConfigField) -> bool:
    """Whether another field of the form stands for it: the input, a parameter of the pipeline, or a secret by name."""
    given = str(entry.given.get(field.key))
    plain = re.fullmatch(r"\$\{\s*(input|params\.\w+)\s*\}", given)
    return plain is not None or (is_secret(field.key) and "${" in given)


def _stage_field(entry: Entry, field: ConfigField) -> Field:
    key, kind = f"{entry.key}.{field.key}", _kind(field)
    if field.key in entry.given:
        value = entry.given[field.key]
        usual = f"{shown(value)} in this pipeline"
    else:
        usual = field.default
    if kind == "secret":
        return Field(key=key, kind=kind, help=field.help)
    choices = (True, False) if kind == "switch" else _literals(field.kind)
    return Field(key=key, kind=kind, type=field.kind, help=field.help, usual=usual, choices=choices)


def _kind(field: ConfigField) -> Kind:
    if is_secret(field.key):
        return "secret"
    if _literals(field.kind):
        return "choice"
    return "text" if field.kind in _TEXTS else _KINDS.get(field.kind, "data")


def _literals(kind: str) -> tuple[Any, ...]:
    """Choices of `Literal['a', 'b']`."""
    found = re.fullmatch(r"Literal\[(.*)\]", kind)
    texts = re.fullmatch(r"\s*(?:'[^']*'|\"[^\"]*\")(?:\s*,\s*(?:'[^']*'|\"[^\"]*\"))*\s*", found[1]) if found else None
    return tuple(re.findall(r"['\"]([^'\"]*)['\"]", texts[0])) if texts else ()
