"""Claims: who works on which attempt of which shard (invariant I4).

A claim is a file `<shard>.<n>`, created exclusively and never deleted before the commit. Attempt n+1 is
created only once attempt n has ended; why it ended is in a marker `<shard>.<n>.<ending>` beside it, or is
concluded by the observer and recorded in the claim of n+1.

An attempt that runs one task at a time, alone in its worker, first writes each into `<shard>.<n>.task`: when the whole
job is killed, the last line has its culprit (`store/notes.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from hpcurate.failures import AGAINST, Against, AttemptEnd, Ending
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.notes import NOTHING, last_task
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

__all__ = ["Claim", "Claims", "Latest", "LeaseWatch", "latest_attempts"]

_ENDINGS = frozenset(ending.value for ending in Ending)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a claim file."""

    shard: str
    attempt: int
    nonce: str
    """Of the attempt directory; found again in the committed `stats.json`."""
    worker: str
    process: ProcessIdentity
    round: int = 0
    """Round of the worker: once that is over, so is the attempt, whatever host it was on."""
    element: str = ""
    """The worker's job as the scheduler names it, `<array job>_<task>` or `<job>`: found again in the endings that its
    gate wrote down. Empty without a scheduler."""
    history: tuple[AttemptEnd, ...] = ()
    """Endings of earlier attempts, oldest first."""
    ahead: bool = False
    """Claimed while its worker was at the shard before it."""
    memory_mb: int = 0
    """MiB that its worker has; 0: not known."""
    seconds: float = 0.0
    """Wall time that its worker had left; 0: without end, or not known."""
    node: str = ""
    checkpoint: str = ""
    """State of the shard's checkpoints when it was claimed: if it is another one later, the attempt has moved them."""
    at: float = 0.0
    """When it was claimed, in Unix seconds: for people to read. 0: of an earlier release."""


class Latest(msgspec.Struct, frozen=True):
    """The newest attempt of a shard, from the names in its claims folder."""

    attempt: int
    ending: Ending | None = None
    suspect: bool = False
    """Something counts against the shard."""

    @property
    def untold(self) -> bool:
        """Whether its history says nothing about the shard, as the names alone show."""
        return self.attempt == 1 and self.ending is not None and not self.suspect


_FIRST = Latest(1)


def latest_attempts(names: Iterable[str]) -> dict[str, Latest]:
    """Newest attempt per shard from the names of one claims folder. Pure."""
    found: dict[str, Latest] = {}
    for name in names:
        shard, _, attempt = name.rpartition(".")
        if attempt == "1" and shard not in found and shard[:1] not in ("", "."):  # hardly any other in a large stage
            found[shard] = _FIRST
            continue
        parts = name.rsplit(".", 2) if not name[-1:].isdigit() else [*name.rsplit(".", 1), ""]
        if name.startswith(".") or len(parts) != 3 or not parts[1].isdigit():
            continue
        if parts[2] and parts[2] not in _ENDINGS:  # a note, or a stranger's file
            continue
        one = Latest(int(parts[1]), Ending(parts[2]) if parts[2] else None)
        found[parts[0]] = _merged(found.get(parts[0]), one)
    return found


def _merged(known: Latest | None, one: Latest) -> Latest:
    """The newer of two, of the same attempt the one whose ending comes first; suspect if any name says so. Pure."""
    suspect = one.ending is not None and AGAINST[one.ending] is not Against.NOTHING
    if known is None:
        return msgspec.structs.replace(one, suspect=suspect)
    rank = list(Ending).index
    newer = min(known, one, key=lambda o: (-o.attempt, rank(o.ending) if o.ending else len(Ending)))
    return msgspec.structs.replace(newer, suspect=suspect or known.suspect)


class Claims:
    """The claims of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder

    def latest(self, fan: str) -> dict[str, Latest]:
        """Newest attempt of each shard of a fan-out folder; one listing."""
        return latest_attempts(self._filesystem.names(self._folder.claims(fan)))

    def take(self, claim: Claim) -> bool:
        """Create the claim of one attempt: True if it is ours."""
        failpoint("claim.before")
        data = json.dumps(msgspec.to_builtins(claim)).encode() + b"\n"
        won = self._create(self._folder.claim(claim.shard, claim.attempt), data)
        if won:
            failpoint("claim.after")
        return won

    def read(self, shard: str, attempt: int) -> Claim | None:
        """The claim of one attempt, or None where there is none, or half of one. Raises OSError."""
        with suppress(FileNotFoundError, ValueError, msgspec.MsgspecError):
            return msgspec.convert(json.loads(self._filesystem.read(self._folder.claim(shard, attempt))), Claim)
        return None

    def is_there(self, shard: str, attempt: int) -> bool:
        """Whether an attempt was claimed. It is opened: a listing may be older."""
        with suppress(FileNotFoundError):
            self._filesystem.read(self._folder.claim(shard, attempt))
            return True
        return False

    def end(
        self,
        claim: Claim,
        ending: Ending,
        detail: str = "",
        in_flight: tuple[str, ...] = (),
        shared: bool = False,
        *,
        peak_mb: int = 0,
        seconds: float = 0.0,
        begun: float = 0.0,
        ended: float = 0.0,
    ) -> None:
        """Write beside the claim why its attempt is over, what it had, and from when to when it was in work."""
        path = f"{self._folder.claim(claim.shard, claim.attempt)}.{ending.value}"
        had = {"memory_mb": claim.memory_mb, "peak_mb": peak_mb, "seconds": seconds}
        who = {"worker": claim.worker, "node": claim.node, "begun": begun, "ended": ended}
        content = {"detail": detail, "in_flight": in_flight, "shared": shared, **had, **who}
        self._create(path, json.dumps(content).encode() + b"\n")

    def _create(self, path: str, data: bytes) -> bool:
        """Create a file in its folder, which a scratch purge may have taken: nobody else would make it again."""
        try:
            return self._filesystem.claim(path, data)
        except FileNotFoundError:
            self._filesystem.make_folders(os.path.dirname(path))
            return self._filesystem.claim(path, data)

    def history(self, shard: str, latest: Latest) -> tuple[AttemptEnd, ...]:
        """How all attempts up to the newest one, which is over, have ended."""
        before = self.read(shard, latest.attempt)
        return (*(before.history if before else ()), self.ending(shard, latest))

    def ending(self, shard: str, latest: Latest) -> AttemptEnd:
        """How an attempt ended: what its marker says; without one what was concluded, or nothing is known.

        Raises OSError: a marker that cannot be read now may name the culprit.
        """
        known = {"attempt": latest.attempt, "ending": (latest.ending or Ending.LOST).value}
        with suppress(FileNotFoundError, ValueError, TypeError, msgspec.MsgspecError):
            path = f"{self._folder.claim(shard, latest.attempt)}.{known['ending']}"
            return msgspec.convert({**json.loads(self._filesystem.read(path)), **known}, AttemptEnd)
        return msgspec.convert(known, AttemptEnd)

    def waits(self, claim: Claim) -> None:
        """Write down that nothing of an attempt that is to run alone is in work yet. Raises OSError."""
        self._create(self._folder.note(claim.shard, claim.attempt), NOTHING)

    def alone(self, shard: str, attempt: int) -> tuple[str, ...] | None:
        """The task that an attempt had in work alone when it last wrote that down, () if none; None: it did not."""
        with suppress(FileNotFoundError):
            return last_task(self._filesystem.read(self._folder.note(shard, attempt)))
        return None


class LeaseWatch:
    """Decides that a worker's heartbeat stood still, by the observer's own monotonic clock alone.

    Times of two machines are never compared: what counts is that the counter did not change over one lease
    during which the observer's own heartbeats went through without a gap.
    """

    def __init__(self, lease_s: float) -> None:
        self._lease = lease_s
        self._seen: dict[str, tuple[bytes, float]] = {}

    def stood_still(
        self, worker: str, counter: bytes, asked: float, own_beats_since: float, answered: float | None = None
    ) -> bool:
        """True once `counter` has not changed for a lease. `own_beats_since`: start of our gapless beats.

        An answer may be long on its way: the counter was seen as late as it came at first, and as early as it was
        asked for later.
        """
        known = self._seen.get(worker)
        if known is None or known[0] != counter:
            self._seen[worker] = (counter, asked if answered is None else answered)
            return False
        since = max(known[1], own_beats_since)
        return asked - since >= self._lease
