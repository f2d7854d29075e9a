"""What was typed, made ready for Hydra: paths stay as the shell gave them, keys need no `+`. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hpcurate.errors import ConfigError
from hpcurate.grammar import as_it_is, quoted

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PATHS = ("input", "store", "output", "done", "part", "exclude")
"""Keys whose values are taken literally: any bytes, no quoting, no sweep."""
SEVERAL = ("input", "exclude")
"""Those of them that may have several values, `[/data/a,/data/b]`."""
FORCED = ("stages", "launcher", "budget", "timing", "source", "models", "site")
"""Below these any key may be set; we check names ourselves, with better advice than Hydra's."""
FLAGS = ("-m", "--multirun", "--cfg", "--resolve", "--info", "--help", "-h")
"""Hydra's; what is resolved is all that `--cfg` prints."""
TAKES = {"--cfg": ("job", "all", "hydra"), "--info": ("all", "config", "defaults", "defaults-tree", "searchpath")}
"""Words that may follow a flag, as Hydra has them: they make no difference here."""
_KEY = re.compile(r"[+~]*[A-Za-z_][\w.\-/@]*")
_VALUE = r"""'[^']*'|"[^"]*"|(?:\{[^{}]*\}|[^,])*?"""
_ITEM = re.compile(rf"\s*({_VALUE})\s*(?:,|$)", re.DOTALL)
"""One value of several, in quotes if it has a comma."""
_PAIR = re.compile(rf"""\s*('[^']*'|"[^"]*"|[^:,]+?)\s*:\s*({_VALUE})\s*(?:,\s*|$)""", re.DOTALL)
"""The same with a name."""


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """A command line, sorted."""

    paths: dict[str, str]
    overrides: tuple[str, ...]
    """For Hydra's grammar."""
    words: tuple[str, ...] = ()
    """As typed, flags left out."""
    config_dirs: tuple[str, ...] = ()
    multirun: bool = False
    show_config: bool = False
    show_package: str = ""
    """Part of the configuration that is shown: `stages.motion`."""
    show_info: bool = False
    help: bool = False


def sort_arguments(argv: Sequence[str]) -> Typed:
    """Sort paths, overrides and flags. Raises ConfigError for what is none of them."""
    paths: dict[str, str] = {}
    overrides: list[str] = []
    folders: list[str] = []
    words: list[str] = []
    flags: set[str] = set()
    package = ""
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(value if equals else _following(rest, flag, "a folder"))
        elif flag in ("--package", "-p"):
            package = value if equals else _following(rest, flag, "a key, e.g. stages.split")
        elif flag in FLAGS and not equals:
            flags.add(flag)
            if rest and rest[0] in TAKES.get(flag, ()):
                rest.pop(0)
        else:
            _sort_override(word, paths, overrides)
            words.append(word)
    return Typed(
        paths=paths,
        overrides=tuple(overrides),
        words=tuple(words),
        config_dirs=tuple(folders),
        multirun=bool(flags & {"-m", "--multirun"}),
        show_config="--cfg" in flags,
        show_package=package,
        show_info="--info" in flags,
        help=bool(flags & {"-h", "--help"}),
    )


def _following(rest: list[str], flag: str, what: str) -> str:
    if not rest:
        raise ConfigError(f"{flag}: expected {what} after it")
    return rest.pop(0)


def _sort_override(word: str, paths: dict[str, str], overrides: list[str]) -> None:
    key, equals, value = word.partition("=")
    if not _KEY.fullmatch(key) or (not equals and not key.startswith("~")):
        raise ConfigError(f"{word!r}: expected key=value, or a flag of {', '.join((*FLAGS, '--config-dir DIR'))}")
    plain = key.lstrip("+")
    if plain in PATHS:
        path = os.path.expanduser(value)
        if plain in SEVERAL and paths.get(plain, path) != path:
            raise ConfigError(_twice(plain, paths[plain], path))
        paths[plain] = path
    elif not equals:
        overrides.append(word)
    else:
        overrides.append(f"{_with_force(key)}={quoted_if_needed(key, value)}")


def _twice(key: str, first: str, other: str) -> str:
    """What to type for an input that is given twice: a shell makes several words of `input=/data/{a,b}`. Pure."""
    several = shlex.quote(f"{key}=[{first},{other}]")
    return (
        f"{key}={first} and {key}={other}: a key has one value; for several type {several}; "
        f"braces stand in quotes, '{key}=/data/{{0000..0003}}'"
    )


def plain_of_path(key: str, text: str) -> Any:
    """What was typed for a key of PATHS, as a configuration has it: `[/a,/b]` is two paths of `input`, and `{a: /x/a}`
    has a name for each, unless there is a file of that name.
    """
    first, last = text[:1], text[-1:]
    if key not in SEVERAL or (first, last) not in (("[", "]"), ("{", "}")) or os.path.lexists(text):
        return as_it_is(text)
    if first == "[":
        return [as_it_is(os.path.expanduser(item)) for item in split_list(text[1:-1])]
    pairs = _pairs(text[1:-1])
    named = {name: as_it_is(os.path.expanduser(path)) for name, path in pairs}
    if len(named) < len(pairs):
        raise ConfigError(f"{key}={text}: two have one name; give each a name of its own")
    return named or as_it_is(text)


def split_list(text: str) -> list[str]:
    """`/a, '/b,c'` → /a and /b,c. Pure."""
    return [_unquoted(match[1]) for match in _ITEM.finditer(text) if match[1].strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    """`a: /a, b: '/b,c'` → (a, /a), (b, /b,c); none where a name or a path is missing. Pure."""
    found, place = list[tuple[str, str]](), 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None or not match[2]:
            return []
        found.append((_unquoted(match[1]), _unquoted(match[2])))
        place = match.end()
    return found


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] in ("'", '"') and text[-1] == text[0] else text


def _with_force(key: str) -> str:
    """`stages.split.min_s` → `++stages.split.min_s`; `pipeline` → `+pipeline`; group choices as they are."""
    if key.startswith(("+", "~")):
        return key
    if key == "pipeline":
        return "+pipeline"
    return f"++{key}" if key.partition(".")[0] in FORCED and "." in key else key


def key_of(word: str) -> str:
    """`stages.split.min_s` of `++stages.split.min_s=2`. Pure."""
    return word.partition("=")[0].lstrip("+~")


def value_of(override: str) -> Any:
    """What an override gives to its key. Raises ConfigError for a sweep: one run has one value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override)
    if parsed.is_sweep_override():
        raise ConfigError(f"{override.lstrip('+')}: expected one value; a sweep makes runs of its own, hpcurate -m …")
    return parsed.value()


def as_typed(override: str) -> str:
    """An override for Hydra's grammar as somebody types it, without what `sort_arguments` added. Pure."""
    key, equals, value = override.partition("=")
    plain = key.removeprefix("++")
    return f"{plain}{equals}{value}" if _with_force(plain) == key else override


def quoted_if_needed(key: str, value: str) -> str:
    """The value as Hydra's grammar reads it back unchanged: quoted only where the grammar refuses it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if value != value.strip():  # blanks at the ends, which the grammar would drop
        return quoted(value)
    try:
        OverridesParser.create().parse_override(f"x={value}")
    except HydraException:
        return quoted(value)
    return value


def combinations(overrides: Sequence[str], group: Callable[[str], list[str]]) -> list[tuple[str, ...]]:
    """Every combination of a sweep, as Hydra's basic sweeper makes them; of a key that is given twice the last counts.

    `group(name)` lists the choices of a config group. Raises ConfigError for a sweep whose values cannot be listed.
    """
    from itertools import product

    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    last = {one.get_key_element().lstrip("+~"): place for place, one in enumerate(parsed)}
    choices = [
        _values(one, group) if one.is_sweep_override() else [str(one.input_line)]
        for place, one in enumerate(parsed)
        if not one.is_sweep_override() or last[one.get_key_element().lstrip("+~")] == place
    ]
    return list(product(*choices))


def _values(parsed: Override, group: Callable[[str], list[str]]) -> list[str]:
    """`key=value` for each value of a sweep."""
    from hydra.core.override_parser.types import Glob, IntervalSweep

    key, typed, swept = parsed.get_key_element(), str(parsed.input_line).lstrip("+"), parsed.value()
    plain = key.lstrip("+")
    if isinstance(swept, IntervalSweep):
        raise ConfigError(
            f"{typed}: the values of an interval cannot be listed, and there is no optimizer here that picks some; "
            f"name them, e.g. {plain}={swept.start:g},{swept.end:g} or {plain}=range(1,10,3)"
        )
    if not isinstance(swept, Glob):
        return [f"{key}={value}" for value in parsed.sweep_string_iterator()]
    names = group(parsed.key_or_group)
    if not names:
        raise ConfigError(f"{typed}: {plain} is no group of config files that glob could list; name the values, a,b")
    if not swept.filter(names):
        raise ConfigError(f"{typed}: none of them fits; there are: {', '.join(names)}")
    return [f"{key}={name}" for name in swept.filter(names)]
