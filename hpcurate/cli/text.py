"""Text for a terminal: styles, how wide it is, and what no terminal or encoding takes. Pure.

A line is a `str` whatever it looks like: functions that make lines are compared with plain text, and in a pipe that is
what there is. A `Styled` one has parts in styles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

BAR = 24
"""Cells of a progress bar."""
STYLES = {"heading": "1", "good": "32", "bad": "31", "working": "36", "dim": "2", "command": ""}
"""Style → parameters of the terminal's SGR sequence. What is a `command` breaks so that it can be copied."""
_NARROW = re.compile(r"[ -~…█░→–×]*")
"""Characters that are known to be one cell wide: no table of widths is loaded for them."""
_ONE_LINE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029)},
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}
"""Characters that move a cursor, turn the direction of text, or end a line."""
_HOSTILE = {code: shown for code, shown in _ONE_LINE.items() if chr(code) not in "\n\t"}
_PLAIN = str.maketrans(
    {"█": "#", "░": ".", "→": "->", "–": "-", "×": "x", "≤": "<=", "≥": ">=", "├": "|", "│": "|", "└": "`", "─": "-"}
)
"""What we print ourselves, for encodings that have no such characters."""


class Styled(str):
    """Text with styles. `+` keeps them, also beside a plain text; an f-string does not."""

    parts: tuple[tuple[str, str], ...]
    """(text, style), in order."""

    def __new__(cls, *parts: tuple[str, str]) -> Styled:
        """Of its parts."""
        made = super().__new__(cls, "".join(text for text, _ in parts))
        made.parts = parts
        return made

    def __add__(self, other: str) -> Styled:
        return Styled(*self.parts, *parts_of(other))

    def __radd__(self, other: str) -> Styled:
        return Styled(*parts_of(other), *self.parts)


class Bar(str):
    """A progress bar, which may be drawn narrower."""

    done: float
    total: float | None

    def __new__(cls, done: float, total: float | None, width: int = BAR) -> Bar:
        """`████░░░░`; empty while the total is not known, full where there is nothing to do."""
        full = width if total == 0 else int(width * min(done, total) / total) if total else 0
        made = super().__new__(cls, "█" * full + "░" * (width - full))
        made.done, made.total = done, total
        return made


def styled(text: str, style: str) -> Styled:
    """One text in one style."""
    return Styled((text, style))


def with_commands(text: str) -> Styled:
    """What stands in backticks is a command."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return Styled(*((part, "command" if place % 2 else "") for place, part in enumerate(parts)))


def parts_of(text: str) -> tuple[tuple[str, str], ...]:
    """Parts of a text, styled or not."""
    return text.parts if isinstance(text, Styled) else ((text, ""),)


def one_line(text: str) -> str:
    """Text without what moves a cursor: names of files may hold anything. Styles stay."""
    return _translated(text, _ONE_LINE)


def harmless(text: str) -> str:
    """The same for a text of several lines."""
    return _translated(text, _HOSTILE)


def _translated(text: str, characters: Mapping[int, str]) -> str:
    if isinstance(text, Styled):
        return Styled(*((part.translate(characters), style) for part, style in text.parts))
    return text if isinstance(text, Bar) else text.translate(characters)


def cells(text: str) -> int:
    """How wide a text is on a terminal."""
    if _NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len  # here: most texts are narrow

    return cell_len(text)


def shortened(text: str, width: int) -> str:
    """At most so wide: with … for its end where it is wider."""
    if cells(text) <= width:
        return text
    if isinstance(text, Bar):
        return Bar(text.done, text.total, width)
    kept, left = list[tuple[str, str]](), max(width, 1) - 1
    for part, style in parts_of(text):
        begin = _beginning(part, left)
        kept.append((begin, style))
        left -= cells(begin)
        if begin != part:
            return Styled(*kept, ("…", style))
    return Styled(*kept)


def _beginning(text: str, width: int) -> str:
    while cells(text) > width:
        text = text[: min(len(text) - 1, max(width, 0))]
    return text


def in_colours(line: Styled) -> str:
    """With the terminal's sequences for its styles."""
    texts = []
    for text, style in line.parts:
        code = STYLES.get(style, "")
        texts.append(f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text)
    return "".join(texts)


def in_encoding(text: str, encoding: str, ellipsis: str = "...") -> str:
    """With other characters for those that the encoding lacks; a bar stays one, and styles stay."""
    if isinstance(text, Bar):
        return text
    if isinstance(text, Styled):
        return Styled(*((in_encoding(part, encoding, ellipsis), style) for part, style in text.parts))
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.translate(_PLAIN).replace("…", ellipsis)
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text
