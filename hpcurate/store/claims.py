"""Claims: who works on which attempt of which shard (invariant I4).

A claim is a file `<shard>.<n>`, created exclusively and never deleted before the commit. Attempt n+1 is
created only once attempt n has ended; why it ended is in a marker `<shard>.<n>.<ending>` beside it, or is
found out by the observer and recorded in the claim of n+1.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

__all__ = ["Claim", "Ending", "LeaseWatch", "Verdict", "claimed", "judge", "latest_attempts", "try_claim"]


class Ending(str, enum.Enum):
    """Why an attempt ended without a commit."""

    FREE = "free"
    """Handed back: the worker drained, or was preempted."""
    DEAD = "dead"
    """The worker is gone: killed, node lost, lease run out."""
    CRASH = "crash"
    """The stage process died by a signal or left."""
    OOM = "oom"
    """The stage process was killed for memory."""
    TIMEOUT = "timeout"
    """A batch took longer than `task_timeout`."""
    ERROR = "error"
    """The attempt could not be finished (disk, a file left open, a broken row)."""

    @property
    def counts(self) -> bool:
        """Whether the ending counts against the shard."""
        return self is not Ending.FREE


_ENDINGS = frozenset(ending.value for ending in Ending)


@attrs.define(frozen=True, kw_only=True)
class Claim:
    """Content of a claim file."""

    shard: str
    attempt: int
    nonce: str
    """Of the attempt directory; found again in the committed `stats.json`."""
    worker: str
    process: ProcessIdentity
    round: int = 0
    """Round of the worker: once that is over, so is the attempt, whatever host it was on."""
    history: tuple[dict[str, Any], ...] = ()
    """Endings of earlier attempts, oldest first: `{"attempt", "ending", "in_flight", "detail"}`."""

    def to_bytes(self) -> bytes:
        """JSON, one line."""
        plain = attrs.asdict(self, recurse=False)
        plain["process"] = self.process.to_json()
        return json.dumps(plain).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Claim:
        """Inverse of `to_bytes`."""
        plain = json.loads(data)
        plain["process"] = ProcessIdentity.from_json(plain["process"])
        plain["history"] = tuple(plain["history"])
        return cls(**plain)


@attrs.define(frozen=True)
class Latest:
    """The newest attempt of a shard, as the names in its claims folder tell."""

    attempt: int
    ending: Ending | None = None


def latest_attempts(names: Iterable[str]) -> dict[str, Latest]:
    """Newest attempt per shard from the names of one claims folder. Pure."""
    found: dict[str, Latest] = {}
    for name in names:
        parts = name.rsplit(".", 2) if not name[-1:].isdigit() else [*name.rsplit(".", 1), ""]
        if name.startswith(".") or len(parts) != 3 or not parts[1].isdigit():
            continue
        shard, attempt, ending = parts[0], int(parts[1]), parts[2]
        if ending and ending not in _ENDINGS:  # a stranger's file
            continue
        known = found.get(shard)
        if known is None or attempt > known.attempt or (attempt == known.attempt and ending):
            found[shard] = Latest(attempt, Ending(ending) if ending else None)
    return found


def try_claim(filesystem: Filesystem, folder: StageFolder, claim: Claim) -> bool:
    """Create the claim of one attempt: True if it is ours."""
    failpoint("claim.before")
    won = filesystem.create(folder.claim(claim.shard, claim.attempt), claim.to_bytes())
    if won:
        failpoint("claim.after")
    return won


def read_claim(filesystem: Filesystem, folder: StageFolder, shard: str, attempt: int) -> Claim | None:
    """The claim of one attempt, or None if it cannot be read."""
    try:
        return Claim.from_bytes(filesystem.read(folder.claim(shard, attempt)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end_attempt(filesystem: Filesystem, folder: StageFolder, claim: Claim, ending: Ending, detail: Any = None) -> None:
    """Say beside the claim why its attempt is over."""
    path = f"{folder.claim(claim.shard, claim.attempt)}.{ending.value}"
    filesystem.create(path, json.dumps(detail or {}).encode() + b"\n")


def read_ending(filesystem: Filesystem, folder: StageFolder, shard: str, latest: Latest) -> dict[str, Any]:
    """What the marker of an ended attempt says, in the form of `Claim.history`."""
    detail: dict[str, Any] = {}
    if latest.ending is not None:
        with suppress(OSError, ValueError):
            detail = json.loads(filesystem.read(f"{folder.claim(shard, latest.attempt)}.{latest.ending.value}"))
    ending = latest.ending or Ending.DEAD
    return {"attempt": latest.attempt, "ending": ending.value, **detail}


def claimed(process: ProcessIdentity, round_over: bool, lease_over: bool) -> Ending | None:
    """Whether an unmarked attempt has ended, from what an observer may rightly conclude. Pure but for /proc."""
    if round_over or process.alive() is False or lease_over:
        return Ending.DEAD
    return None


class LeaseWatch:
    """Decides that a worker's heartbeat stood still, by the observer's own monotonic clock alone.

    Times of two machines are never compared: what counts is that the counter did not change over one lease
    during which the observer's own heartbeats went through without a gap.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease = lease_s
        self._seen: dict[str, tuple[bytes, float]] = {}

    def stood_still(self, worker: str, counter: bytes, now: float, own_beats_since: float) -> bool:
        """True once `counter` has not changed for a lease. `own_beats_since`: start of our gapless beats."""
        known = self._seen.get(worker)
        if known is None or known[0] != counter:
            self._seen[worker] = (counter, now)
            return False
        since = max(known[1], own_beats_since)
        return now - since >= self._lease


@attrs.define(frozen=True)
class Verdict:
    """What the next attempt of a shard does, judged from how the earlier ones ended."""

    isolate: bool = False
    """One task at a time, so that a crash names its task."""
    poison: dict[str, str] = attrs.field(factory=dict)
    """Tasks that become dead letters untried."""
    exhausted: str = ""
    """If set, all tasks of the shard become dead letters: the reason."""


def judge(history: Iterable[dict[str, Any]], attempts: int) -> Verdict:
    """Retry, isolate or give up. Pure.

    A crash with one task in flight makes that task poison. Attempts that named a culprit do not count
    towards `attempts`, so that a shard with several poison tasks still passes its good ones on.
    """
    poison: dict[str, str] = {}
    counted = 0
    for entry in history:
        ending = Ending(entry["ending"])
        in_flight = entry.get("in_flight") or []
        if ending.counts and len(in_flight) == 1:
            poison[in_flight[0]] = entry.get("detail") or f"its stage process ended: {ending.value}"
        elif ending.counts:
            counted += 1
    exhausted = f"{counted} attempts ended without a result" if counted >= attempts else ""
    return Verdict(isolate=counted > 0 or bool(poison), poison=poison, exhausted=exhausted)
