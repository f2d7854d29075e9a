"""Amounts in words: seconds as a length, bytes as a size. Pure."""

from __future__ import annotations

from hpcurate.store.stats import Amounts
from hpcurate.units import bytes_text, duration


def words(amounts: Amounts) -> str:
    """`1.2 h, 3.4 GB`; units that are not ours by their names; empty if nothing is known."""
    known = [duration(amounts["seconds"], exact=True)] if "seconds" in amounts else []
    known += [bytes_text(amounts["bytes"])] if "bytes" in amounts else []
    return ", ".join(known + [f"{_number(amounts[u])} {u}" for u in sorted(amounts) if u not in ("seconds", "bytes")])


def _number(amount: float) -> str:
    return f"{amount:,.6g}" if abs(amount) < 1e6 else f"{amount:,.0f}"  # 4,240,160, not 4.24016e+06
