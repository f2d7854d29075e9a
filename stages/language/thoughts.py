"""Models that think aloud before they answer. Pure."""

from __future__ import annotations

import re
from collections import deque

import attrs

from stages.language.asks import Answer

THOUGHTS = re.compile(r"</?(?:think|thinking|thoughts?|reasoning)>|[◁\[]/?think[▷\]]", re.IGNORECASE)
"""What begins or ends them."""


def without_thoughts(text: str) -> str | None:
    """What comes after the end of the last ones; None: they do not end."""
    last = deque(THOUGHTS.finditer(text), maxlen=1)
    if last and "/" not in last[0][0]:
        return None
    return text[last[0].end() :] if last else text


def spoken(answer: Answer) -> Answer:
    """The answer without thoughts; `empty` if nothing else was said."""
    text = (without_thoughts(answer.text) or "").strip()
    return attrs.evolve(answer, text=text, status=answer.status if text else "empty")
