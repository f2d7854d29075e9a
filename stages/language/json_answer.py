"""From what a model said to the answers that were asked for, or to why it is none. Pure.

A model is asked for one JSON object and nothing else; what it says is thoughts, prose, a fence, and somewhere in it the
object, in one of several spellings (`lenient_json.py`). Whoever reads it keeps to this: nothing is guessed, and what is
not clearly an answer is `Malformed`.

- Thoughts are left out: all up to the last `</think>`. Thoughts that do not end leave no answer.
- A brace with a key and a colon after it begins an object; other braces are prose.
- An object that begins and cannot be read to its end makes the whole answer malformed, also beside another one.
- Several objects count if all of them say the same.
- Names are compared without regard to case, width, spaces and punctuation: `Slide show` is `slide_show`.
- What was asked for has to be answered, all of it; what was not asked for is ignored.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import attrs

from stages.language.lenient_json import COMMA, OPEN, Prose, Reader, Unclear, put
from stages.language.thoughts import without_thoughts

LONGEST = 100_000
"""Characters of an answer, without its thoughts."""
VISIBLE = re.compile(r"[^\s\ufeff\u200b\u2060]")
TRUTHS = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
"""How a yes or a no is spelled as text."""


@attrs.define(frozen=True)
class Malformed:
    """An answer that is none."""

    why: str


def object_of(text: str) -> dict[str, Any] | Malformed:
    """The one object that an answer means."""
    try:
        return _object(text)
    except Unclear as unclear:
        return Malformed(str(unclear))


def booleans(text: str, names: Iterable[str]) -> dict[str, bool] | Malformed:
    """A yes or a no to each of the names, in their order."""
    try:
        found = _by_form(_object(text))
        return {name: _truth(name, _of(found, name)) for name in names}
    except Unclear as unclear:
        return Malformed(str(unclear))


def chosen(text: str, key: str, names: Iterable[str]) -> list[str] | Malformed:
    """Which of the names are listed under the key, in their order; a text is a list of what is between its commas."""
    forms = {form_of(name): name for name in names}
    try:
        said = {_one_of(forms, value) for value in _listed(key, _of(_by_form(_object(text)), key))}
    except Unclear as unclear:
        return Malformed(str(unclear))
    return [name for name in forms.values() if name in said]


def form_of(name: str) -> str:
    """What is compared of a name: its letters and digits."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in plain if character.isalnum())


def _object(text: str) -> dict[str, Any]:
    said = without_thoughts(text)
    if said is None:
        raise Unclear("thoughts that do not end")
    if not VISIBLE.search(said):
        raise Unclear("empty")
    if len(said) > LONGEST:
        raise Unclear("too long")
    objects = _objects(said)
    if not objects:
        raise Unclear("no object")
    if any(one != objects[0] for one in objects):
        raise Unclear("several objects that differ")
    return objects[0]


def _objects(text: str) -> list[dict[str, Any]]:
    found, reader = [], Reader(text)
    while brace := OPEN.search(text, reader.at):
        reader.at = brace.end()
        try:
            found.append(reader.object())
        except Prose:  # it goes on where no key was
            continue
    return found


def _by_form(found: dict[str, Any]) -> dict[str, Any]:
    by_form: dict[str, Any] = {}
    for key, value in found.items():
        put(by_form, form_of(key), value)
    return by_form


def _of(by_form: dict[str, Any], name: str) -> Any:
    if form_of(name) not in by_form:
        raise Unclear(f"no answer to {name!r}")
    return by_form[form_of(name)]


def _truth(name: str, value: Any) -> bool:
    text = unicodedata.normalize("NFKC", value).strip(" \t\r\n.").casefold() if isinstance(value, str) else None
    truth = TRUTHS.get(text) if text is not None else value
    if truth is None or isinstance(truth, float) or truth not in (0, 1):
        raise Unclear(f"{name!r} is {_shown(value)}, no yes or no")
    return bool(truth)


def _listed(key: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return COMMA.split(value)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unclear(f"{key!r} is {_shown(value)}, no list of names")
    return value


def _one_of(forms: dict[str, str], value: str) -> str:
    if form_of(value) not in forms:
        raise Unclear(f"{_shown(value)} is none of the names")
    return forms[form_of(value)]


def _shown(value: Any) -> str:
    return repr(value)[:60]
