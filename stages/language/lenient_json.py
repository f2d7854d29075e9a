"""An object as a model spells it: JSON, Python, JavaScript, or full-width characters. Pure, and in linear time.

Besides JSON: single, typographic or full-width quotes; keys and words without quotes (`{dark: yes}`); True and None;
comments; a comma before the end. A word without quotes that is no literal is text. What is left out is not added: a
missing comma, bracket or value is an error.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

DEEPEST = 32
"""Objects and lists within each other."""
LITERALS = {"true": True, "false": False, "null": None, "none": None}
QUOTES = {'"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "’": "’", "＂": "＂"}
"""What begins a text → what ends it."""

OPEN, CLOSE, COLON, COMMA = map(re.compile, ("[{｛]", "[}｝]", "[:：]", "[,，、]"))
OPEN_LIST, CLOSE_LIST = map(re.compile, (r"[\[［]", r"[\]］]"))
SPACE = re.compile(r"(?:[\s\ufeff\u200b\u2060]++|(?://|#)[^\n]*+|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
"""Also comments. None of these patterns looks twice at a character, whatever the text is."""
STRINGS = {first: re.compile(rf"{first}((?:[^{last}\\]|\\.)*+){last}", re.DOTALL) for first, last in QUOTES.items()}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
WORD = re.compile(r"[^\W\d][\w-]*+")
NUMBER = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?")
WHOLE = re.compile(r"[-+]?\d{1,18}")


class Unclear(ValueError):
    """Why a text is no object. Never leaves `json_answer`."""


class Prose(Exception):
    """A brace that begins no object."""


@attrs.define
class Reader:
    """Reads one text; `at` is how far it has come."""

    text: str
    at: int = 0

    def object(self, depth: int = 1) -> dict[str, Any]:
        """The object whose brace was just read. Raises Prose if no key comes after it, Unclear for what is broken."""
        self._check(depth)
        found: dict[str, Any] = {}
        while not self.take(CLOSE):
            key = self._key()
            if key is None or not self.take(COLON):
                raise self._wrong(prose=depth == 1 and not found)
            put(found, key, self._value(depth + 1))
            if not self.take(COMMA) and not self._ends(CLOSE):
                raise self._wrong()
        return found

    def take(self, what: re.Pattern[str]) -> re.Match[str] | None:
        """What comes next after space, if it is that."""
        self._skip()
        match = what.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match

    def _list(self, depth: int) -> list[Any]:
        self._check(depth)
        found: list[Any] = []
        while not self.take(CLOSE_LIST):
            found.append(self._value(depth + 1))
            if not self.take(COMMA) and not self._ends(CLOSE_LIST):
                raise self._wrong()
        return found

    def _value(self, depth: int) -> Any:
        if self.take(OPEN):
            return self.object(depth)
        if self.take(OPEN_LIST):
            return self._list(depth)
        if number := self.take(NUMBER):
            return int(number[0]) if WHOLE.fullmatch(number[0]) else float(number[0])
        if word := self.take(WORD):
            return LITERALS.get(word[0].casefold(), word[0])
        if (text := self._string()) is None:
            raise self._wrong()
        return text

    def _key(self) -> str | None:
        word = self.take(WORD)
        return word[0] if word else self._string()

    def _string(self) -> str | None:
        self._skip()
        pattern = STRINGS.get(self.text[self.at : self.at + 1])
        if pattern is None:
            return None
        match = self.take(pattern)
        if match is None:
            raise Unclear("cut off")
        return ESCAPE.sub(_unescaped, match[1])

    def _skip(self) -> None:
        self.at = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches nothing, too

    def _ends(self, what: re.Pattern[str]) -> bool:
        return what.match(self.text, self.at) is not None

    def _check(self, depth: int) -> None:
        if depth > DEEPEST:
            raise Unclear("nested too deep")

    def _wrong(self, *, prose: bool = False) -> Exception:
        if self.at == len(self.text):
            return Unclear("cut off")
        return Prose() if prose else Unclear(f"cannot be read at {self.text[self.at : self.at + 20]!r}")


def put(found: dict[str, Any], key: str, value: Any) -> None:
    """Add it. Raises Unclear if the key has another value already."""
    if key in found and found[key] != value:
        raise Unclear(f"two answers to {key!r:.60}")
    found[key] = value


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else ESCAPED.get(code, code)
