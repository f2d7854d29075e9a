"""Verbs and keys as completion needs them, in `table.json`: importing all verbs takes longer than one waits for Tab.

A test holds that the file is what the parsers and the fields say.
"""

from __future__ import annotations

import importlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

if TYPE_CHECKING:
    import argparse

FILE = Path(__file__).with_name("table.json")
_KINDS = {
    "DIR": "dir", "FILE": "file", "FOLDER": "dir", "RUN": "run", "NAME": "", "TEXT": "", "ITEM": "file", "N": "",
    "store": "dir", "site": "site", "stage": "stage", "to": "file", "output": "dir", "folder": "dir",
    "manifest": "file", "config_dir": "dir", "run": "run",
}  # fmt: skip
"""Placeholder or name of an argument → what it is."""


@attrs.define(frozen=True)
class Value:
    """What an option or a word stands for."""

    kind: str = ""
    """dir, file, run, stage, site, env, model, key (a word of a run's command), or nothing known."""
    choices: tuple[str, ...] = ()
    help: str = ""
    flag: bool = False
    """An option that takes no value."""


@attrs.define(frozen=True)
class Verb:
    """One verb."""

    help: str
    options: dict[str, Value]
    words: tuple[Value, ...] = ()
    """In order; the last one stands for all further ones."""


@attrs.define(frozen=True)
class Table:
    """All that is known without a look at anything."""

    verbs: dict[str, Verb]
    keys: dict[str, dict[str, Value]]
    """Section (`budget`; empty: the top level; `stage`; `stage.resources`) → key."""


def read_table() -> Table:
    """What `table.json` holds."""
    return msgspec.json.decode(FILE.read_bytes(), type=Table)


def written() -> str:
    """What `table.json` is to hold, a verb or section to a line."""
    plain = _without_defaults(msgspec.to_builtins(made()))
    return "{\n" + ",\n".join(f"{json.dumps(part)}: {_lines(named)}" for part, named in plain.items()) + "\n}\n"


def _lines(named: dict[str, Any]) -> str:
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(named[name])}" for name in sorted(named)) + "\n}"


def _without_defaults(plain: Any) -> Any:
    if isinstance(plain, (list, tuple)):
        return [_without_defaults(inner) for inner in plain]
    if not isinstance(plain, dict):
        return plain
    return {key: _without_defaults(inner) for key, inner in plain.items() if inner not in ("", (), [], False)}


def made() -> Table:
    """From the parsers of the verbs and the fields of the configuration; imports all of them."""
    from hpcurate.cli.main import VERBS

    return Table({name: _verb(importlib.import_module(module).parser()) for name, module in VERBS.items()}, _keys())


def _verb(parser: argparse.ArgumentParser) -> Verb:
    options, words = dict[str, Value](), list[Value]()
    for action in parser._actions:
        if action.option_strings:
            options[max(action.option_strings, key=len)] = _value(parser.prog, action)
        else:
            words.append(_value(parser.prog, action))
    return Verb(_short(parser.description or ""), options, tuple(words))


def _value(command: str, action: argparse.Action) -> Value:
    help = _short(action.help or "")
    if action.choices:
        return Value(choices=tuple(map(str, action.choices)), help=help)
    name = str(action.metavar or "")
    if "=" in name:
        return Value("run or key" if "RUN" in name else "key", help=help)
    own = {"hpcurate envs": "env", "hpcurate models": "model", "hpcurate reference": "class"}.get(command, "")
    kind = _KINDS.get(action.dest) or _KINDS.get(name) or (own if action.dest == "name" else "")
    return Value(kind, help=help, flag=action.nargs == 0)


def _short(help: str) -> str:
    """The first clause: what fits beside a word."""
    return textwrap.shorten(help.removeprefix("true: ").split(";")[0].split(": ")[0], 70, placeholder=" …")


def _keys() -> dict[str, dict[str, Value]]:
    from hpcurate.cli.start.settings import Settings
    from hpcurate.planning.budget import Budget
    from hpcurate.planning.options import StageOptions
    from hpcurate.planning.pipeline import Timing
    from hpcurate.runs.launcher import LAUNCHERS
    from hpcurate.site import SiteProfile
    from hpcurate.stage import Resources
    from hpcurate.system.classes import load_class

    sections: Mapping[str, Sequence[type]] = {
        "": (Settings,),
        "budget": (Budget,),
        "timing": (Timing,),
        "site": (SiteProfile,),
        "launcher": [load_class(target, "launcher") for target in LAUNCHERS.values()],
        "stage": (StageOptions,),
        "stage.resources": (Resources,),
    }
    return {name: {k: v for cls in classes for k, v in _fields(cls).items()} for name, classes in sections.items()}


def _fields(cls: type) -> dict[str, Value]:
    found = {}
    for field in attrs.fields(cls):
        choices = ("true", "false") if "bool" in str(field.type) else tuple(field.metadata.get("choices", ()))
        kind = {"input": "file", "rerun": "stage of the pipeline"}.get(field.name) or _KINDS.get(field.name, "")
        if field.init:
            found[field.alias or field.name] = Value(kind, choices, _short(str(field.metadata.get("help", ""))))
    return found
