"""What a person may call an item: by a glob, or in a file of names. Pure but for reading that file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from hpcurate.errors import ConfigError
from hpcurate.source.base import absolute
from hpcurate.task import Task

__all__ = ["Calls", "Names", "Pattern", "Wanted", "calls", "names_of", "wanted"]

FIELDS = ("id", "source", "path")
"""Fields of an object in a JSONL file that name an item."""


class Calls(NamedTuple):
    """What an item may be called."""

    id: str
    relative: tuple[str, ...]
    """Its path below the input, and those of its files."""
    absolute: tuple[str, ...]


class Wanted:
    """Items that a person names, and which of the names were used."""

    text: str
    """As it was typed."""

    def has(self, calls: Calls) -> bool:
        """Whether one of the names of an item is among them."""
        raise NotImplementedError

    def unused(self) -> str:
        """What no item is called so far; empty if there is nothing to say."""
        raise NotImplementedError


@attrs.define
class Pattern(Wanted):
    """A glob over the path of an item."""

    text: str
    _used: bool = attrs.field(default=False, init=False)
    _regex: re.Pattern[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        try:
            self._regex = re.compile(regex_of(self.text), re.DOTALL)
        except re.error:
            self._regex = re.compile("")
        if not self.text.strip("/. ") or not self._regex.pattern:
            raise ConfigError(f"exclude={self.text}: expected a glob on the path of an item, drafts/** or *.tmp.mp4")

    def has(self, calls: Calls) -> bool:
        """See `Wanted`. An item without a path is called by its id."""
        is_absolute = self.text.startswith("/") or "://" in self.text
        names = calls.absolute if is_absolute else calls.relative or (calls.id,)
        found = any(self._regex.fullmatch(name) for name in names)
        self._used = self._used or found
        return found

    def unused(self) -> str:
        """See `Wanted`."""
        hint = f"; exclude=@{self.text} reads the names in that file" if os.path.isfile(absolute(self.text)) else ""
        return "" if self._used else f"{self.text} matches nothing{hint}"


@attrs.define
class Names(Wanted):
    """A file with the name of an item a line."""

    text: str
    _lines: dict[str, int]
    """Name → number of its line."""
    _used: set[int] = attrs.field(factory=set, init=False)

    def has(self, calls: Calls) -> bool:
        """See `Wanted`."""
        names = (calls.id, *calls.relative, *calls.absolute)
        lines = [line for name in names if (line := self._lines.get(name)) is not None]
        self._used.update(lines)
        return bool(lines)

    def unused(self) -> str:
        """See `Wanted`."""
        left = {line: name for name, line in self._lines.items() if line not in self._used}
        count = len(set(self._lines.values()))
        return f"{self.text}: {len(left)} of {count} names are no item's, e.g. {left[min(left)]!a}" if left else ""


def wanted(text: str, key: str) -> Wanted:
    """`@names.txt` is a file of names, anything else a glob. Raises ConfigError naming the key."""
    if not text.startswith("@"):
        return Pattern(text)
    path = absolute(text[1:])
    try:
        with open(path, "rb") as file:
            lines = names_of(file.read(), path, json_lines=path.endswith((".jsonl", ".ndjson")))
    except OSError as error:
        raise ConfigError(f"{key}={text}: cannot be read: {error.strerror}") from None
    if not lines:
        raise ConfigError(f"{key}={text}: names nothing; expected an id, a relative or an absolute path a line")
    return Names(text, lines)


def names_of(data: bytes, path: str, json_lines: bool) -> dict[str, int]:
    """Each name in a file → its line, from 1. Pure. Raises ConfigError naming the line."""
    separator = b"\0" if b"\0" in data else b"\n"
    found: dict[str, int] = {}
    for number, line in enumerate(data.split(separator), 1):
        line = line.rstrip(b"\r") if separator == b"\n" else line
        if line.strip():
            where = f"{path}:{number}"
            names = _of_object(where, line) if json_lines else [os.fsdecode(line)]
            found.update((_plain(name), number) for name in names)
    return found


def _of_object(where: str, line: bytes) -> list[str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    row = {"id": row} if isinstance(row, str) else row
    names = [row[key] for key in FIELDS if isinstance(row.get(key), str)] if isinstance(row, dict) else []
    if not names:
        raise ConfigError(f"{where}: expected a text, or an object with {', '.join(FIELDS)}")
    return names


def _plain(name: str) -> str:
    """`./a//b.mp4` → `a/b.mp4`; what leads up stays, since it may go through a link."""
    return name if ".." in name else os.path.normpath(name)


def calls(task: Task, several: bool) -> Calls:
    """What an item may be called; one of `several` inputs also without the name of its input. Pure."""
    source, path, members = getattr(task, "source", None), getattr(task, "path", None), _members(task)
    relative: list[str] = []
    if isinstance(source, str):
        beside = os.path.dirname(source)
        relative = [source, *(os.path.join(beside, os.path.basename(member)) for member in members)]
    if several:
        relative += [name.partition("/")[2] for name in relative if "/" in name]
    return Calls(task.id, tuple(relative), tuple([path, *members] if isinstance(path, str) else members))


def _members(task: Task) -> list[str]:
    files = getattr(task, "files", None)
    return [path for path in files.values() if isinstance(path, str)] if isinstance(files, dict) else []


# -- globs ----------------------------------------------------------------------------------------------


def regex_of(pattern: str) -> str:
    """A glob as .gitignore has it, as a regular expression for the whole path. Pure.

    `*` and `?` stop at a slash, `**` does not. A pattern without a slash is that of a name at any depth; one that
    matches a folder matches all that is in it.
    """
    plain = pattern.removeprefix("./")
    body = plain.rstrip("/")
    anywhere = "" if "/" in body else "(?:.*/)?"
    below = "/.+" if plain.endswith("/") else "(?:/.*)?"
    return f"{anywhere}{''.join(_pieces(body))}{below}"


def _pieces(pattern: str) -> Iterator[str]:
    token = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    for match in token.finditer(pattern):
        text = match[0]
        is_set = len(text) > 2 and text.startswith("[")
        yield special.get(text) or (_set(text[1:-1]) if is_set else re.escape(text))


def _set(inner: str) -> str:
    """What stands between brackets; a slash is never matched."""
    negated = inner.startswith(("!", "^"))
    members = inner[negated:]
    members = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    return f"(?!/)[{'^' * negated}{members}]"
