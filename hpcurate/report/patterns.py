"""Messages without what differs from task to task: only that is masked, where messages have one form. Pure.

`cannot open '/a/1.mp4': 12 of 40 bytes` and the same of `/a/2.mp4` are one cause: `cannot open '…': 12 of 40 bytes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

LONGEST = 2000
"""Characters of a message that count."""
_MASKS = {"file": "FILE", "quoted": "'…'", "path": "PATH", "id": "ID", "number": "N"}
_PART = re.compile(
    r"(?P<quoted>(?<!\w)[bruf]?(?:'[^']*'|\"[^\"]*\"))|(?P<path>(?<![\w…])/[^\s:,;]+)"
    r"|(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{12,}\b)"
    r"|(?P<number>\d+(?:\.\d+)?)"
)


@attrs.define(frozen=True)
class Pattern:
    """The first line of a message: its form, which is compared, and what may differ."""

    texts: tuple[str, ...]
    """What is between these, one more than there are."""
    kinds: tuple[str, ...]
    values: tuple[str, ...] = attrs.field(eq=False)

    @property
    def form(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What messages of one cause share."""
        return self.texts, self.kinds

    def masked(self, same: Sequence[bool] = ()) -> str:
        """The line, without the values that are not the `same` in all messages of this form."""
        shown = [*same, *[False] * (len(self.kinds) - len(same))]
        parts = [v if keep else _MASKS[kind] for v, kind, keep in zip(self.values, self.kinds, shown, strict=True)]
        return "".join(part for pair in zip(self.texts, [*parts, ""], strict=True) for part in pair)


def pattern_of(message: str, names: Sequence[str] = ()) -> Pattern:
    """Of a message about a task that has these names: names, quoted texts, paths, ids, numbers may differ."""
    texts, kinds, values = [""], [], []
    for kind, text in _parts(_first_line(_named(message[:LONGEST], [name for name in names if name]))):
        if kind:
            kinds.append(kind)
            values.append(text)
            texts.append("")
        else:
            texts[-1] += text
    return Pattern(tuple(texts), tuple(kinds), tuple(values))


Part = tuple[str, str]
"""(kind, text); no kind: nothing is known of it, or it belongs to the form."""


def _named(text: str, names: Sequence[str]) -> Iterator[Part]:
    """Names that the task has, and what is between them."""
    if not names:
        yield "", text
        return
    for number, piece in enumerate(_split(text, names[0])):
        yield from [("file", names[0])] if number else []
        yield from _named(piece, names[1:])


def _split(text: str, name: str) -> list[str]:
    """The text between the places where the name stands; not where it is a part of a word."""
    pieces, begin, at = [], 0, text.find(name)
    while at >= 0:
        end = at + len(name)
        before, after = text[at - 1 : at] + name[0], name[-1] + text[end : end + 1]
        if (len(before) < 2 or not before.isalnum()) and (len(after) < 2 or not after.isalnum()):
            pieces.append(text[begin:at])
            begin = end
        at = text.find(name, max(begin, at + 1))
    return [*pieces, text[begin:]]


def _first_line(parts: Iterable[Part]) -> Iterator[Part]:
    """Up to the first end of a line that is not within a name."""
    for kind, text in parts:
        line = text if kind else "".join(text.splitlines()[:1])
        yield kind, line
        if line != text:
            return


def _parts(parts: Iterable[Part]) -> Iterator[Part]:
    """The same with all that may differ as a part of its own."""
    for kind, text in parts:
        end = 0
        for found in _PART.finditer(text) if not kind else ():
            yield "", text[end : found.start()]
            yield found.lastgroup or "", found[0]
            end = found.end()
        yield kind, text[end:]
