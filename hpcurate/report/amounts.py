"""Amounts in words: seconds as a length, bytes as a size. Pure."""

from __future__ import annotations

from hpcurate.store.stats import Amounts
from hpcurate.units import bytes_text


def words(amounts: Amounts) -> str:
    """`1.2 h, 3.4 GB`; units that are not ours by their names; empty if nothing is known."""
    known = [length(amounts["seconds"])] if "seconds" in amounts else []
    known += [bytes_text(amounts["bytes"])] if "bytes" in amounts else []
    return ", ".join(known + [f"{amounts[u]:,.6g} {u}" for u in sorted(amounts) if u not in ("seconds", "bytes")])


def length(seconds: float) -> str:
    """`4.2 s`, `3.1 min`, `1.2 h`, `2.5 d`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= size * 0.9995:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
