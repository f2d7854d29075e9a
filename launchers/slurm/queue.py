"""What Slurm has queued. `parse_queue` and `elements` are pure; `SlurmQueue` asks."""

from __future__ import annotations

import re

import attrs

from hpcurate.runs.launcher import JobRow
from hpcurate.store.rounds import Jobs
from launchers.slurm.clients import ask

QUEUE_FORMAT = "%i|%T|%r|%S|%j"
"""Id, state, reason, expected start, name; the name last, it may hold anything."""
REMEMBERED = "now-7days"
"""How far back accounting is searched for a job."""


@attrs.define(frozen=True)
class SlurmQueue:
    """See `Queue`."""

    name = "slurm"

    def alive(self, jobs: tuple[str, ...]) -> bool | None:
        """See `Queue`. What squeue does not list is over."""
        if not jobs:
            return False
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(jobs), "-o", "%i %T"])
        return None if answer is None else bool(answer.strip())

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`. Queued ones, and those that accounting, if available, remembers."""
        answer = ask(["squeue", "-h", "-a", f"--name={name}", "-o", "%A"])
        if answer is None:
            return None
        past = ask(["sacct", "-n", "-X", "-P", f"--name={name}", "-S", REMEMBERED, "-o", "JobID"]) or ""
        return found_jobs(answer, past)

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        if not jobs.ids:
            return []
        answer = ask(["squeue", "-h", "-a", "-j", ",".join(jobs.ids), "-o", QUEUE_FORMAT])
        return None if answer is None else parse_queue(answer)

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        if jobs.ids:
            ask(["scancel", *jobs.ids])


def found_jobs(queued: str, past: str) -> tuple[str, ...]:
    """Ids, each once, from `squeue -o %A` and `sacct -X -P -o JobID`; arrays by their own id."""
    return tuple(dict.fromkeys([*queued.split(), *(line.split("_")[0] for line in past.split())]))


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
