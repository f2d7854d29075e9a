"""How every verb reads its command line: `--store DIR` or `store=DIR`, and errors that say what was expected."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion

KEYS = ("store", "site")
"""Options that may be typed as keys of a run are."""


class VerbParser(argparse.ArgumentParser):
    """The parser of `hpcurate NAME …`. What it refuses is a ConfigError that says what was expected."""

    def __init__(self, name: str = "", description: str = "", **more: Any) -> None:
        super().__init__(prog=more.pop("prog", f"hpcurate {name}"), description=description, **more)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See `argparse`; `store=DIR` stands for `--store=DIR`, wherever it is."""
        return super().parse_known_args(as_options(args or (), self._option_string_actions), namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        told = refusal(message, list(self._option_string_actions))
        more = "" if "; there are: " in told else f"; `{self.prog} --help` shows all"
        raise ConfigError(f"{self.prog.removeprefix('hpcurate ')}: {told}{more}".replace("?;", "?"))


def as_options(words: Sequence[str], options: Sequence[str] | dict[str, Any]) -> list[str]:
    """`store=DIR` as `--store=DIR`, where the parser has that option. Pure."""
    keys = tuple(f"{key}=" for key in KEYS if f"--{key}" in options)
    return [f"--{word}" if keys and word.startswith(keys) else word for word in words]


def as_keys(words: Sequence[str]) -> list[str]:
    """`--store DIR` as `store=DIR`, for what reads the arguments of a run. Pure."""
    rest, found = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        if word.removeprefix("--") in KEYS and word.startswith("--") and rest:
            word = f"{word}={rest.pop(0)}"
        found.append(word.removeprefix("--") if word.startswith(tuple(f"--{key}=" for key in KEYS)) else word)
    return found


def refusal(message: str, options: Sequence[str]) -> str:
    """What argparse refuses: the word that is wrong, what was expected, and what was probably meant. Pure."""
    for pattern, told in _REFUSALS:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return told(found, [option for option in options if option.startswith("--")])
    return message


def _unrecognized(found: re.Match[str], options: Sequence[str]) -> str:
    wrong = found[1].split()[0]
    if wrong.startswith("-"):
        return f"{wrong.partition('=')[0]}: there is no such option; {suggestion(wrong, options)}"
    return f"{found[1]}: one word too many"


def _choice(found: re.Match[str], options: Sequence[str]) -> str:
    choices = [choice.strip(" '") for choice in found[3].split(",")]
    return f"{found[1]} {found[2]}: there is no such choice; {suggestion(found[2].strip(chr(39)), choices)}"


_KINDS = {"int": "a whole number", "float": "a number"}
_REFUSALS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str]], str]], ...] = (
    (r"unrecognized arguments: (.*)", _unrecognized),
    (r"argument ([^:]*): invalid choice: (\S+) \(choose from (.*)\)", _choice),
    (r"argument ([^:]*): invalid (\w+) value: (.*)", lambda m, _: f"{m[1]} {m[3]}: expected {_KINDS.get(m[2], m[2])}"),
    (r"argument ([^:]*): expected one argument", lambda m, _: f"{m[1]}: it needs a value"),
    (r"the following arguments are required: (.*)", lambda m, _: f"it needs {m[1].replace(', ', ' and ')}"),
)
"""What argparse says → what is said instead."""
