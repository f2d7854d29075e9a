"""Text and numbers as a page shows them. Pure."""

from __future__ import annotations

import math
import re

from hpcurate.masks import mask
from hpcurate.units import bytes_text, memory_text

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What would not be seen, or would turn the direction of what follows; and bytes that are no text."""


def shown(text: object, *, lines: bool = False) -> str:
    """Any text so that all of it can be seen: secrets masked, unseen characters escaped; with `lines` these stay."""
    return _UNSEEN.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _escaped(found[0]), mask(str(text)))


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file's name
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def number(value: float | None) -> str:
    """`12 400`, `0.257`, `3.1`: three significant digits, thin spaces between thousands."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 1000:
        return f"{round(value):,}".replace(",", "\u202f").replace("-", "\u2212")
    return f"{value:.3g}".replace("-", "\u2212")


def share(part: float, whole: float) -> str:
    """`12 %`, `< 1 %`."""
    percent = 100 * part / whole if whole else 0.0
    return "< 1\u202f%" if 0 < percent < 0.5 else f"{percent:.0f}\u202f%"


def size(amount: float) -> str:
    """`1.2 GB`."""
    return bytes_text(amount).replace(" ", "\u202f")


def memory(mb: float) -> str:
    """`16.0 GB`, as Slurm counts it."""
    return memory_text(mb).replace(" ", "\u202f")


def span(seconds: float) -> str:
    """`42 s`, `5.3 min`, `3.2 h`, `1 240 h`: hours are not made days of, for it is hours that are paid."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            amount = seconds / length
            return f"{amount:,.{0 if amount >= 20 else 1}f}\u202f{unit}".replace(",", "\u202f")
    return f"{seconds:.3g}\u202fs" if seconds < 10 else f"{seconds:.0f}\u202fs"
