"""`hpcurate +pipeline=x --help`: what a pipeline does, and every key of it and of its stages, the user's own too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.cli.config_fields import Field, fields_of, parameters_of
from hpcurate.cli.start.compose import chosen, compose
from hpcurate.cli.start.overrides import Typed
from hpcurate.cli.start.parameters import UNSET, Parameter
from hpcurate.cli.start.settings import Settings
from hpcurate.cli.start.stage_file import stage_in_file
from hpcurate.cli.terminal import show
from hpcurate.config_files import conf_folders, groups_in, names_in
from hpcurate.docstrings import first_line
from hpcurate.fields import names_of
from hpcurate.planning.options import StageOptions
from hpcurate.report.shown_run import in_a_line
from hpcurate.spec import find_class
from hpcurate.stage import Resources
from hpcurate.system.classes import load_class

NEVER_ADDED = ("launcher", "models", "pipeline", "site")
"""Groups that add nothing to a pipeline."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A source, a stage, or a member of a chain."""

    key: str
    """`stages.motion`."""
    target: str
    about: str
    """First line of its class's docstring."""
    fields: tuple[Field, ...]
    given: Mapping[str, Any]
    """What the pipeline sets, by key."""


def show_help(typed: Typed) -> int:
    """Print it. Raises UserError where the pipeline cannot be composed, or has a class that is not there."""
    folders = conf_folders(typed.config_dirs)
    choices = chosen(typed.overrides, typed.config_dirs)
    composed = compose(typed.overrides, typed.paths, typed.config_dirs)
    plain = composed.unresolved()
    groups = {name: names_in(folders, name) for name in groups_in(folders) if name not in NEVER_ADDED}
    of_file = about_of(choices.get("pipeline", ""), typed.config_dirs)
    about = [f"pipeline {plain['name']}", *(f"  {line}" for line in of_file)]
    about += parameter_lines(composed.parameters.values(), plain["params"])
    show([*about, *help_lines(list(entries(plain)), groups)])
    return 0


def parameter_lines(parameters: Collection[Parameter], values: Mapping[str, Any]) -> list[str]:
    """What a pipeline's files declare, and what is typed for it. Pure."""
    lines = ["", "parameters, params.NAME=VALUE:"] if parameters else []
    for one in parameters:
        value = values[one.name]
        shown = "REQUIRED" if value == UNSET else f"= {in_a_line(value)}"
        usual = "" if value == one.default or one.required else f", by default {in_a_line(one.default)}"
        choices = f", one of {', '.join(map(in_a_line, one.choices))}" if one.choices else ""
        lines.append(f"    params.{one.name} ({one.type or 'any'}) {shown}{usual}{choices}")
        lines += [f"        {line}" for line in one.help.splitlines()]
    return lines


def help_lines(parts: Sequence[Entry], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The rest of the page: what stages, the run and groups have. Pure."""
    lines: list[str] = []
    for part in parts:
        lines += ["", f"{part.key}: {part.target}", *([f"  {part.about}"] if part.about else [])]
        for field in part.fields:
            value = f"{part.given[field.key]} in this pipeline" if field.key in part.given else field.default
            lines.append(f"    {part.key}.{field.key} ({field.kind}) = {value}")
            lines += [f"        {field.help}"] if field.help else []
    options = ", ".join(names_of(StageOptions))
    lines += ["", "every stage, stages.NAME.KEY:", f"    {options}"]
    lines += ["every stage, stages.NAME.resources.KEY:", f"    {', '.join(names_of(Resources))}"]
    lines += ["the run:", f"    {', '.join(names_of(Settings))}", "", "more stages:"]
    lines += [f"    +{group}={'|'.join(choices)}" for group, choices in groups.items()]
    return [*lines, "", "hpcurate reference KEY tells what a key means."]


def entries(plain: Mapping[str, Any]) -> Iterator[Entry]:
    """The source, then stages and members of chains in order. Raises UserError for a class that is not there."""
    source = plain.get("source")
    if isinstance(source, Mapping) and "_target_" in source:
        cls = load_class(str(source["_target_"]), "source")
        yield _entry("source", cls, fields_of(cls) if attrs.has(cls) else parameters_of(cls), source)
    for name, stage in plain["stages"].items():
        members = stage.get("chain", {name: stage}) if isinstance(stage, Mapping) else {}
        for member, entry in members.items():
            cls = find_class(_target(entry))
            set_here = {key: value for key, value in entry.items() if key in names_of(StageOptions)}
            yield _entry(f"stages.{member}", cls, [*parameters_of(cls), *_options(set_here)], entry)


def _target(entry: Mapping[str, Any]) -> str:
    return stage_in_file(str(entry["file"]), entry.get("_target_")) if "file" in entry else str(entry.get("_target_"))


def _options(given: Mapping[str, Any]) -> list[Field]:
    """Options of a stage that its pipeline sets."""
    return [field for field in fields_of(StageOptions) if field.key in given and field.key not in ("after", "place")]


def _entry(key: str, cls: type, fields: Sequence[Field], given: Mapping[str, Any]) -> Entry:
    return Entry(
        key=key, target=f"{cls.__module__}.{cls.__qualname__}", about=first_line(cls), fields=tuple(fields), given=given
    )


def about_of(pipeline: str, config_dirs: Sequence[str]) -> list[str]:
    """What the file of a pipeline says about itself; nothing where there is no such file."""
    file = _file_of(conf_folders(config_dirs), pipeline)
    return about_file(file) if file else []


def _file_of(folders: Sequence[Path], pipeline: str) -> Path | None:
    files = (folder / "pipeline" / f"{pipeline}.yaml" for folder in folders)
    return next((path for path in files if path.is_file()), None)


def about_file(path: Path) -> list[str]:
    """Comments at the top of a pipeline's file."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.lstrip("# "))
    return lines
