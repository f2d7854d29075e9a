"""Lines that are wider than a terminal are broken between words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from hpcurate.cli.text import Styled, cells, parts_of, shortened

_CONTINUES = " \\"
"""At the end of a line of a command: what is copied from the screen is one command."""
_TOKENS = (
    re.compile(r" +|[^ ]+"),
    re.compile(r""" +|(?:\$'(?:\\.|[^'\\])*'|'[^']*'|"[^"]*"|\\.|[^ '"\\])+|.""", re.DOTALL),
)
"""Blanks and words of a text, and of a command: there a quoted word is one, a backslash in quotes is none."""


class _Word(msgspec.Struct, frozen=True):
    """What is not broken."""

    blanks: int
    """Before it."""
    parts: tuple[tuple[str, str], ...]
    command: int | None
    """The command that it belongs to, by its number in the line."""

    @property
    def cells(self) -> int:
        return sum(cells(text) for text, _ in self.parts)


def wrapped(line: str, width: int | None) -> list[Styled]:
    """The line, broken between words where it is wider than that; further lines are indented. No word is broken."""
    whole = Styled(*parts_of(line))
    if width is None or cells(line) <= width:
        return [whole]
    return _filled(list(_words(whole)), width, _hanging(line, width))


def wrapped_cell(text: str, width: int) -> list[Styled]:
    """The same within a column: nothing is indented, and a word that is wider is shortened."""
    if cells(text) <= width:
        return [Styled(*parts_of(text))]
    narrow = [(re.sub(r"\S+", lambda word: shortened(word[0], width), part), style) for part, style in parts_of(text)]
    return _filled(list(_words(Styled(*narrow))), width, 0)


def split_lines(text: str) -> Iterator[Styled]:
    """A text of several lines, line by line."""
    parts = list[tuple[str, str]]()
    for part, style in parts_of(text):
        first, *more = part.split("\n")
        parts.append((first, style))
        for one in more:
            yield Styled(*parts)
            parts = [(one, style)]
    yield Styled(*parts)


def _filled(words: list[_Word], width: int, hanging: int) -> list[Styled]:
    lines, used = [list[tuple[str, str]]()], 0
    for before, word in zip([None, *words], words, strict=False):
        room = width - (len(_CONTINUES) if word.command is not None else 0)
        if before is None or used + word.blanks + word.cells <= room or used <= hanging:
            lines[-1].append((" " * word.blanks, ""))
            used += word.blanks
        else:
            if word.command is not None and before.command == word.command:
                lines[-1].append((_CONTINUES, "command"))
            lines.append([(" " * hanging, "")])
            used = hanging
        lines[-1] += word.parts
        used += word.cells
    return [Styled(*parts) for parts in lines]


def _hanging(line: str, width: int) -> int:
    """Where further lines begin: below the text after a first column, or two further in."""
    column = re.match(r" *\S+ {2,}(?=\S)", line)
    if column and cells(column[0]) <= width // 2:
        return cells(column[0])
    return min(len(line) - len(line.lstrip(" ")) + 2, width // 2)


def _words(line: Styled) -> Iterator[_Word]:
    blanks, parts, command = 0, list[tuple[str, str]](), None
    for number, (text, style) in enumerate(line.parts):
        for token in _TOKENS[style == "command"].findall(text):
            if token[0] != " ":
                parts.append((token, style))
                command = number if style == "command" else command
                continue
            if parts:
                yield _Word(blanks, tuple(parts), command)
                blanks, parts, command = 0, [], None
            blanks += len(token)
    if parts:
        yield _Word(blanks, tuple(parts), command)
