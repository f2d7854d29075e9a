"""Which words can follow those that were typed. Pure but for what `Places` finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from hpcurate.cli.arguments import KEYS
from hpcurate.cli.completion.table import Table, Value, Verb

FLAGS = {
    "-m": "a sweep: one run for each combination of values",
    "--cfg": "print the resolved configuration",
    "--info": "print where the configuration comes from",
    "--help": "with +pipeline=NAME: all keys of it and of its stages",
    "--config-dir": "one more conf folder",
}
"""Of a run's command."""
WITHOUT_PLUS = ("launcher", "site")
"""Groups that have a choice already."""
MORE = "=./"
"""At the end of a word that is to be continued."""


@attrs.define(frozen=True)
class Word:
    """What may be typed, whole."""

    text: str
    help: str = ""


class Places(Protocol):
    """What depends on where the command is typed. Whatever cannot be read is not there."""

    def runs(self, store: str | None, site: str | None) -> list[str]:
        """Names of the runs of the store, newest first."""

    def stages_of_run(self, run: str, store: str | None, site: str | None) -> list[str]:
        """Stages of the run that a name, or nothing, means."""

    def names(self, kind: str) -> list[str]:
        """Names of `env` or `model`, or choices of a config group."""

    def groups(self) -> list[str]:
        """Config groups."""

    def stages(self, words: Sequence[str]) -> dict[str, list[str]]:
        """Stages of the pipeline that the words of a command choose → parameters of their classes."""

    def params(self, words: Sequence[str]) -> dict[str, Value]:
        """Parameters of that pipeline."""

    def files(self, beginning: str, *, folders: bool) -> list[str]:
        """Paths that begin so; folders end in `/`."""


def complete(words: Sequence[str], table: Table, places: Places) -> list[Word]:
    """What the last of the words can be; the others stand before it, without `hpcurate`."""
    *before, current = words
    if not before:
        verbs = [Word(name, verb.help) for name, verb in table.verbs.items()]
        found = [*verbs, Word("--help"), Word("--version"), *_of_a_run(before, current, table, places)]
    elif before[0] in table.verbs:
        found = _of_a_verb(table.verbs[before[0]], before, current, table, places)
    else:
        found = _of_a_run(before, current, table, places)
    return [word for word in dict.fromkeys(found) if word.text.startswith(current) and word.text != current]


# -- verbs ------------------------------------------------------------------------------------------


def _of_a_verb(verb: Verb, before: Sequence[str], current: str, table: Table, places: Places) -> list[Word]:
    options = verb.options
    named = {key: _given(before, key) for key in KEYS}
    look = _Look(table, places, before, **named)
    if before[-1] in options and not options[before[-1]].flag:
        return look.values(options[before[-1]], current)
    name, equals, typed = current.partition("=")
    option = name if name.startswith("--") else f"--{name}" if name in KEYS else ""
    if equals and option in options:
        return _after(f"{name}=", look.values(options[option], typed))
    if current.startswith("-"):
        return [Word(option, value.help) for option, value in options.items() if option not in before]
    place = len(_plain(before[1:], verb))
    values = look.values(verb.words[min(place, len(verb.words) - 1)], current) if verb.words else []
    return [*values, *(Word(f"{key}=", options[f"--{key}"].help) for key in named if f"--{key}" in options and current)]


def _plain(words: Sequence[str], verb: Verb) -> list[str]:
    """Those that are no options, values of options or keys."""
    found, skip = list[str](), False
    for word in words:
        takes = word in verb.options and not verb.options[word].flag
        if not skip and not word.startswith("-") and not word.startswith(("store=", "site=")):
            found.append(word)
        skip = takes
    return found


def _given(words: Sequence[str], key: str) -> str | None:
    """The value of `--key V`, `--key=V` or `key=V`."""
    for place, word in enumerate(words):
        if word.startswith((f"{key}=", f"--{key}=")):
            return word.partition("=")[2]
        if word == f"--{key}" and place + 1 < len(words):
            return words[place + 1]
    return None


@attrs.define(frozen=True)
class _Look:
    """Values of one kind or another."""

    table: Table
    places: Places
    before: Sequence[str]
    store: str | None = None
    site: str | None = None

    def values(self, value: Value, typed: str) -> list[Word]:
        """What an option or a word of a verb can be."""
        if value.choices:
            return [Word(choice) for choice in value.choices]
        match value.kind:
            case "run" | "run or key":
                runs = [Word(name) for name in ("latest", *self.places.runs(self.store, self.site))]
                return runs + (_of_a_run(self.before, typed, self.table, self.places) if "key" in value.kind else [])
            case "key":
                return _of_a_run(self.before, typed, self.table, self.places)
            case "stage":
                run = next((word for word in self.before[1:] if word in self.places.runs(self.store, self.site)), "")
                return [Word(name) for name in self.places.stages_of_run(run, self.store, self.site)]
            case "stage of the pipeline":
                return [Word(name) for name in self.places.stages(self.before)]
            case "dir" | "file":
                return [Word(path) for path in self.places.files(typed, folders=value.kind == "dir")]
            case "env" | "model" | "site":
                return [Word(name) for name in self.places.names(value.kind)]
        return []


# -- the command of a run ---------------------------------------------------------------------------


def _of_a_run(before: Sequence[str], current: str, table: Table, places: Places) -> list[Word]:
    if before and before[-1] == "--config-dir":
        return [Word(path) for path in places.files(current, folders=True)]
    if current.startswith("-"):
        return [Word(flag, help) for flag, help in FLAGS.items() if flag not in before]
    key, equals, typed = current.partition("=")
    if equals:
        return _after(f"{key}=", _values_of(key, typed, before, table, places))
    if current.startswith("+"):
        return _after("+", [Word(f"{name}=") for name in places.groups() if name not in WITHOUT_PLUS])
    if current.startswith("~"):
        return [Word(f"~stages.{name}") for name in places.stages(before)]
    if "." in current:
        return _keys_below(current, before, table, places)
    keys = [Word(f"{key}=", value.help) for key, value in table.keys[""].items() if key not in _SECTIONS]
    sections = [Word(f"{name}.") for name in _SECTIONS if name != "params" or places.params(before)]
    return [Word("+pipeline=", "which pipeline"), *keys, *sections, *(Word(f"{name}=") for name in WITHOUT_PLUS)]


_SECTIONS = ("stages", "params", "budget", "timing", "launcher", "site", "source", "models")
"""Keys of the top level that are mappings."""


def _keys_below(current: str, before: Sequence[str], table: Table, places: Places) -> list[Word]:
    """`budget.failed=`, `stages.split.threshold=`, `stages.split.resources.cpus=`."""
    section, *path = current.split(".")
    if section == "params":
        return _after("params.", [Word(f"{name}=", value.help) for name, value in places.params(before).items()])
    if section != "stages":
        return _after(f"{section}.", [Word(f"{key}=", v.help) for key, v in table.keys.get(section, {}).items()])
    stages = places.stages(before)
    if len(path) == 1:
        return [Word(f"stages.{name}.") for name in stages]
    if len(path) == 2:
        own = [Word(f"{name}=") for name in stages.get(path[0], [])]
        options = table.keys["stage"].items()
        more = [Word(f"{key}." if key in ("resources", "sbatch") else f"{key}=", value.help) for key, value in options]
        return _after(f"stages.{path[0]}.", [*own, *more])
    below = table.keys.get(f"stage.{path[1]}", {})
    return _after(f"stages.{path[0]}.{path[1]}.", [Word(f"{key}=", value.help) for key, value in below.items()])


def _values_of(key: str, typed: str, before: Sequence[str], table: Table, places: Places) -> list[Word]:
    plain = key.lstrip("+")
    if plain in places.groups():
        beginning, comma, _ = typed.rpartition(",")  # of a sweep
        return _after(beginning + comma, [Word(name) for name in places.names(plain)])
    *path, name = plain.split(".")
    section = ".".join(["stage", *path[2:]] if path[:1] == ["stages"] else path)
    known = places.params(before) if section == "params" else table.keys.get(section, {})
    value = known.get(name, Value())
    return _Look(table, places, before).values(value, typed)


def _after(beginning: str, words: Iterable[Word]) -> list[Word]:
    return [Word(f"{beginning}{word.text}", word.help) for word in words]
