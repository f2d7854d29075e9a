"""What somebody typed to start a run, and the complete commands that continue it, quoted for a shell. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from hpcurate.errors import UserError

__all__ = [
    "Command",
    "again",
    "from_here",
    "of_store",
    "quoted",
    "retry",
    "spelled_out",
    "spelling_out",
    "verb",
    "within",
]

ONCE = ("rerun", "dry_run", "debug")
"""Keys that hold for one call: typed again they would do finished work again, or none."""
_STORE = "store"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody typed to start or continue a run, and where."""

    words: tuple[str, ...] = ()
    """As typed, flags left out; of a sweep, those of one combination. None where Python started it."""
    config_dirs: tuple[str, ...] = ()
    folder: str = ""
    """Where it was typed: its `conf/`, `stages/` and relative paths are there. Empty: an earlier hpcurate did not
    write it down.
    """
    script: str = ""
    """Python program that called `hpcurate.run`; empty for a notebook, or where a command was typed."""
    user: str = ""
    host: str = ""
    at: str = ""
    """When, UTC."""
    checkout: str = ""
    """What `git describe` calls the code in that folder; empty where that is no checkout."""

    def with_words(self, words: Iterable[str]) -> Command:
        """The same with further overrides, each in the place of one with its key."""
        return msgspec.structs.replace(self, words=_merged(self.words, words))


def again(command: Command, store: str, *overrides: str) -> str:
    """The command that continues the run, to be typed in any folder; with these overrides added or replaced. Pure."""
    if not command.words:
        return _call(command, overrides)
    words = [word for word in command.words if _key(word) not in ONCE]
    words = list(_merged(words, [f"{_STORE}={store}", *overrides]))
    folders = [word for folder in command.config_dirs for word in ("--config-dir", folder)]
    line = " ".join(map(quoted, ["hpcurate", *words, *folders]))
    return within(command.folder, line)


def verb(name: str, run: str, store: str, *words: str) -> str:
    """`hpcurate retry RUN --store STORE`, with further words before the store. Pure."""
    return " ".join(map(quoted, ["hpcurate", name, run, *words, "--store", store]))


def within(folder: str, line: str) -> str:
    """A command line that is typed in that folder; empty: wherever. Pure."""
    return f"{_enter(folder)}{line}" if folder else line


def from_here(text: str, folder: str) -> str:
    """Commands as somebody types them who is in that folder already. Pure."""
    return text.replace(_enter(folder), "")


def of_store(name: str, store: str) -> str:
    """`hpcurate clean --store STORE`. Pure."""
    return " ".join(map(quoted, ["hpcurate", name, "--store", store]))


def retry(command: Command, run: str, store: str, **which: str) -> str:
    """What tries dead letters of a run again; of a run that Python started that is a call, too. Pure."""
    if not command.words:
        given = "".join(f", {key}={value!r}" for key, value in which.items())
        return f"{again(command, store)}, with retry=hpcurate.Retry(run={run!r}{given})"
    return verb("retry", run, store, *(word for key, value in which.items() for word in (f"--{key}", value)))


def spelled_out(text: str, command: Command, store: str) -> str:
    """A message that names the run's command, by those who do not know it, with the command itself. Pure."""

    def named(found: re.Match[str]) -> str:
        line = again(command, store, *[override for override in found.groups()[1:] if override])
        return f"{found[1] or ''}`{line}`" if command.words else line

    return _NAMED.sub(named, text)


_NAMED = re.compile(r"(type )?the run's command(?: with ([\w.]+=[^\s;,]+))?(?: again)?")


@contextmanager
def spelling_out(command: Command, store: str) -> Iterator[None]:
    """What a user is told meanwhile names the run's command itself."""
    try:
        yield
    except UserError as error:
        error.args = tuple(spelled_out(arg, command, store) if isinstance(arg, str) else arg for arg in error.args)
        raise


def quoted(word: str) -> str:
    """A word as any bytes reach the program: as it is, in quotes, or as bash and zsh write bytes. Pure."""
    if word.isprintable():
        return shlex.quote(word)
    plain = {0x27: "\\'", 0x5C: "\\\\", 0x0A: "\\n", 0x09: "\\t"}
    data = word.encode("utf-8", "surrogateescape")
    return "$'" + "".join(plain.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in data) + "'"


def _enter(folder: str) -> str:
    return f"cd {quoted(folder)} && "


def _call(command: Command, overrides: Sequence[str]) -> str:
    where = f" in {command.script or command.folder}" if command.script or command.folder else ""
    more = f", with {' '.join(overrides)}" if overrides else ""
    return f"call hpcurate.run(…) again{where}{more}"


def _merged(words: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Each of the further words in the place of one with its key, or at the end."""
    found = {_key(word): word for word in words}
    return tuple({**found, **{_key(word): word for word in more}}.values())


def _key(word: str) -> str:
    """`stages.a.b` of `+stages.a.b=1`; `~stages.a` takes something out, which is another matter than its value."""
    return re.sub(r"^\++", "", word.partition("=")[0])
