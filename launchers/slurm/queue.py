"""What squeue prints, as values. Pure."""

from __future__ import annotations

import re

from hpcurate.runs.launcher import JobRow

QUEUE_FORMAT = "%i|%T|%r|%S|%j"
"""Id, state, reason, expected start, name; the name last, it may hold anything."""


def parse_queue(text: str) -> list[JobRow]:
    """Rows of `squeue -h -o QUEUE_FORMAT`; elements in the same state for the same reason are one row."""
    found: dict[tuple[str, str, str, str, str], int] = {}
    for line in text.splitlines():
        id, state, reason, start, name = line.split("|", 4)
        key = (id.partition("_")[0], name, state, "" if state == "RUNNING" else reason, _known(start, state))
        found[key] = found.get(key, 0) + elements(id)
    return [
        JobRow(id=id, name=name, state=state, reason=reason, start=start, count=count)
        for (id, name, state, reason, start), count in found.items()
    ]


def elements(id: str) -> int:
    """`12` → 1, `12_3` → 1, `12_[4-9,11%2]` → 7."""
    match = re.search(r"\[([^\]%]*)", id)
    if not match:
        return 1
    count = 0
    for part in match[1].split(","):
        first, _, last = part.partition("-")
        last, _, step = last.partition(":")
        count += 1 if not last else (int(last) - int(first)) // int(step or 1) + 1
    return count


def _known(start: str, state: str) -> str:
    return start if state == "PENDING" and start not in ("N/A", "") else ""
