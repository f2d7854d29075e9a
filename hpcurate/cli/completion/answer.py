"""`hpcurate __complete SHELL …`: the words that can follow, for a shell's function."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hpcurate.cli.completion.places import Here
from hpcurate.cli.completion.table import read_table
from hpcurate.cli.completion.words import Places, Word, complete
from hpcurate.cli.text import one_line


def answer(words: Sequence[str]) -> int:
    """Print them; never an error: nothing is offered instead, and the status says why nobody should look."""
    try:
        for line in lines(words):
            print(line)
    except Exception:  # whatever is wrong with files here, a person who presses Tab wants no traceback
        return 1
    return 0


def lines(words: Sequence[str]) -> list[str]:
    """For bash its word breaks and the line up to the cursor; for zsh and fish the words, and descriptions."""
    shell, *given = words
    if shell == "bash":
        breaks, line = given
        typed = split_line(line)[1:]
        return for_bash(_found(typed), typed[-1], breaks)
    return [f"{word.text}\t{one_line(word.help)}" if word.help else word.text for word in _found(given)]


def _found(typed: Sequence[str]) -> list[Word]:
    folders = [folder for flag, folder in itertools.pairwise(typed) if flag == "--config-dir"]
    return complete(typed, read_table(), Forgiving(Here(folders)))


def split_line(line: str) -> list[str]:
    """The words of a line whose last one may be begun and its quotes open. Pure."""
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        return [*words, ""] if line[-1:].isspace() and not end else words
    return line.split(" ")


def for_bash(found: Iterable[Word], current: str, breaks: str) -> list[str]:
    """What bash puts in the place of the part of the word after its last break (`=`, `:`), quoted. Pure."""
    start = max((current.rfind(character) for character in breaks), default=-1) + 1
    quoted = (re.sub(r"([^\w@%+=:,./~-])", r"\\\1", word.text[start:]) for word in found)
    return [word for word in quoted if "\n" not in word]


class Forgiving:
    """`Places` where what cannot be read is not there."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __getattr__(self, name: str) -> Callable[..., Any]:
        asked = getattr(self._places, name)

        def ask(*args: Any, **more: Any) -> Any:
            try:
                return asked(*args, **more)
            except Exception:
                return {} if name in ("stages", "params") else []

        return ask
