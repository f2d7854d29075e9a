"""What Slurm has queued, and had. `SlurmQueue` asks; the rest is pure."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping

import msgspec

from hpcurate.failures import JobEnd
from hpcurate.runs.launcher import JobRow, Presence
from hpcurate.store.rounds import Jobs
from launchers.slurm.clients import CONFIG, ask, ask_once, own_user
from launchers.slurm.endings import ACCOUNT_FORMAT, FINAL, STATE_FORMAT, endings_of, states_of, unexplained

QUEUE_FORMAT = "%i|%T|%r|%S|%j"
"""Id, state, reason, expected start, name; the name last, it may hold anything."""
WAITING_FORMAT = "%i|%T|%E|%j"
"""Id, state, what it still waits for, name."""
REMEMBERED = "now-7days"
"""How far back accounting is searched for a job."""
LATE_S = (1.0, 2.0, 3.0, 4.0)
"""Pauses before it is asked again: so late accounting may be with the steps of a job that has just ended."""


class SlurmQueue(msgspec.Struct, frozen=True):
    """See `Queue`."""

    name = "slurm"

    def cluster(self) -> str | None:
        """See `Queue`. Asked once in a process."""
        named = re.search(r"^ClusterName\s*=\s*(\S+)", ask_once(*CONFIG) or "", re.MULTILINE)
        return named[1] if named else None

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`. The controller lists jobs that are over for a while, by default five minutes."""
        answer = _states(jobs) if jobs else ""
        return Presence.UNKNOWN if answer is None else presence_of(jobs, answer)

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, JobEnd]:
        """See `Queue`. Accounting that is late is asked again."""
        if not jobs:
            return {}
        queued, accounted = _states(jobs) or "", _accounted(jobs)
        for pause_s in LATE_S:
            if accounted is None or not unexplained(queued, accounted):
                break
            time.sleep(pause_s)
            accounted = _accounted(jobs)
        return endings_of(queued, accounted or "")

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`. Queued ones, and those that controller and accounting, if available, remember."""
        whose = ["-u", own_user(), f"--name={name}"]
        answer = ask(["squeue", "-h", "-a", "-t", "all", *whose, "-o", "%F|%j"])
        if answer is None:
            return None
        past = ask(["sacct", "-n", "-X", "-P", *whose, "-S", REMEMBERED, "-o", "JobID,JobName"]) or ""
        return found_jobs(name, answer, past)

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


def _states(jobs: tuple[str, ...]) -> str | None:
    return ask(["squeue", "-h", "-a", "-t", "all", "-j", ",".join(jobs), "-o", STATE_FORMAT])


def _accounted(jobs: tuple[str, ...]) -> str | None:
    """With a line for each time that a job was begun; the oldest first."""
    return ask(["sacct", "-n", "-P", "-D", "-S", REMEMBERED, "-j", ",".join(jobs), "-o", ACCOUNT_FORMAT])


def presence_of(jobs: tuple[str, ...], text: str) -> Presence:
    """From `squeue -h -t all -o STATE_FORMAT` about these jobs; arrays by their own id.

    Elements that were cancelled before they began have no line of their own, ever: an array has ended when no line of
    it can run.
    """
    rows = states_of(text)
    if any(state not in FINAL for _, state in rows):
        return Presence.ALIVE
    listed = {id.partition("_")[0] for id, _ in rows}
    return Presence.ENDED if jobs and listed.issuperset(jobs) else Presence.ABSENT


def found_jobs(name: str, queued: str, past: str) -> tuple[str, ...]:
    """Ids of the jobs of exactly this name, each once, from `squeue -o %F|%j` and `sacct -X -P -o JobID,JobName`."""
    rows = (line.partition("|") for line in [*queued.splitlines(), *past.splitlines()])
    return tuple(dict.fromkeys(id.partition("_")[0] for id, _, found in rows if found == name))


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


def waiting_jobs(text: str, names: Collection[str], after: str = "") -> list[JobRow]:
    """Rows of `squeue -h -o WAITING_FORMAT` for jobs of these names of which no element has begun, the oldest first.

    `after`: those alone that still wait for this job.
    """
    found: dict[str, JobRow] = {}
    begun: set[str] = set()
    for line in text.splitlines():
        id, state, held, name = line.split("|", 3)
        job = id.partition("_")[0]
        begun |= {job} if state != "PENDING" else set()
        if name in names and (not after or re.search(rf":{after}(?!\d)", held)):
            count = elements(id) + (found[job].count if job in found else 0)
            found[job] = JobRow(id=job, name=name, state=state, count=count)
    return [found[job] for job in sorted(found, key=int) if job not in begun]


def held_by(held: str, gate: str) -> str:
    """The dependencies of a job with a gate more, from what squeue prints of them (`%E`). Pure."""
    lines = [line for line in held.splitlines() if line not in ("", "(null)")]
    return ",".join([re.sub(r"\(\w+\)", "", line) for line in lines[:1]] + [f"afterany:{gate}"])


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
