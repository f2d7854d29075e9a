"""Rounds: the right to submit, and what became of each submission. State is in names.

`rounds/0001.ticket` is created exclusively by whoever may submit round 1 and holds who that is; `.job` holds
what was submitted, `.over` means that no worker of it is left and holds what is known of how they ended, `.cancelled`
that a user stopped it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import attrs
import msgspec

from hpcurate.failures import Ending
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

__all__ = ["Jobs", "Round", "Rounds", "Ticket"]


@attrs.define(frozen=True)
class Jobs:
    """The workers of a round, so that they are found again."""

    ids: tuple[str, ...] = ()
    """Of a scheduler: arrays by their own id."""
    workers: tuple[ProcessIdentity, ...] = ()
    """Processes of the machine that submitted."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.workers)

    def __str__(self) -> str:
        return ", ".join([*self.ids, *(f"process {worker.pid}" for worker in self.workers)])


@attrs.define(frozen=True, kw_only=True)
class Ticket:
    """Who may submit a round."""

    run: str = ""
    launcher: str = ""
    """As a user types it. Recorded for people."""
    queue: str | None = None
    """Scheduler that is to have its jobs; None: they are children of the submitter."""
    cluster: str = ""
    """The cluster of that scheduler: only its answers are evidence. Empty: not known when the ticket was taken."""
    lists: str = ""
    """Digest of the live set's lists: only rounds of the same one are compared. Empty: of a time without."""
    name: str = ""
    """Unique job name, to find a submission whose answer was lost."""
    submitter: ProcessIdentity | None = None
    done_before: int = 0
    """Committed shards when the ticket was taken."""


@attrs.define(frozen=True, kw_only=True)
class Round:
    """One round of a stage as the store has it."""

    number: int
    ticket: Ticket
    jobs: Jobs | None = None
    """What was submitted; None until that is written down."""
    over: bool = False
    cancelled: bool = False


class Rounds:
    """The rounds of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder

    def take_ticket(self, number: int, ticket: Ticket) -> bool:
        """Win the right to submit round `number`: True for exactly one caller."""
        self._filesystem.make_folders(self._folder.rounds)
        plain = attrs.asdict(ticket)
        if ticket.queue == _queue_of(ticket.launcher):
            del plain["queue"]
        won = self._write(number, "ticket", plain)
        if won:
            failpoint("ticket.after")
        return won

    def record_jobs(self, number: int, jobs: Jobs) -> None:
        """Write down what was submitted. What stands and can be read is left; half a file is replaced."""
        plain = {"jobs": [*jobs.ids, *(f"local:{worker.pid}:{worker.start}" for worker in jobs.workers)]}
        if not self._write(number, "job", plain) and _jobs(self._json(number, "job"), Ticket()) is None:
            self._filesystem.replace(f"{self._folder.round(number)}.job", json.dumps(plain).encode() + b"\n")

    def mark_over(self, number: int, *, cancelled: bool = False, endings: Mapping[str, Ending] | None = None) -> None:
        """Write down that no worker of the round is left. `endings`: element → how it ended, where that is known."""
        if cancelled:
            self._filesystem.create(f"{self._folder.round(number)}.cancelled", b"")
        plain = {"endings": {element: ending.value for element, ending in (endings or {}).items()}}
        self._write(number, "over", plain)

    def endings(self, number: int) -> dict[str, Ending]:
        """Element (`<array job>_<task>`, or `<job>`) → how it ended, as far as whoever marked the round over knew."""
        with suppress(KeyError, AttributeError, msgspec.MsgspecError):
            return msgspec.convert(self._json(number, "over")["endings"], dict[str, Ending])
        return {}

    def over(self) -> set[int]:
        """Numbers of the rounds that have no worker left; one listing."""
        names = self._filesystem.names(self._folder.rounds)
        return {int(name[:-5]) for name in names if name.endswith(".over") and name[:-5].isdigit()}

    def read(self) -> list[Round]:
        """All rounds, first to last; one listing."""
        names = set(self._filesystem.names(self._folder.rounds))
        numbers = sorted(int(n.split(".")[0]) for n in names if n.endswith(".ticket") and not n.startswith("."))
        return [self._read(number, names) for number in numbers]

    def count(self) -> int:
        """How many there are; one listing."""
        names = self._filesystem.names(self._folder.rounds)
        return sum(name.endswith(".ticket") and not name.startswith(".") for name in names)

    def _write(self, number: int, kind: str, plain: dict[str, Any]) -> bool:
        return self._filesystem.create(f"{self._folder.round(number)}.{kind}", json.dumps(plain).encode() + b"\n")

    def _read(self, number: int, names: set[str]) -> Round:
        name, ticket = f"{number:04d}", _ticket(self._json(number, "ticket"))
        return Round(
            number=number,
            ticket=ticket,
            jobs=_jobs(self._json(number, "job"), ticket) if f"{name}.job" in names else None,
            over=f"{name}.over" in names,
            cancelled=f"{name}.cancelled" in names,
        )

    def _json(self, number: int, kind: str) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            plain = json.loads(self._filesystem.read(f"{self._folder.round(number)}.{kind}"))
            return plain if isinstance(plain, dict) else {}
        return {}


def _queue_of(launcher: str) -> str | None:
    """Queue of a ticket that names none: each of our launchers has always the same. Pure."""
    return "slurm" if launcher == "slurm" else None


def _ticket(plain: dict[str, Any]) -> Ticket:
    """The content of a ticket; an empty one where that cannot be read. Pure."""
    with suppress(ValueError, TypeError, AttributeError, msgspec.MsgspecError):  # any JSON but ours
        return msgspec.convert({"queue": _queue_of(plain.get("launcher", "")), **plain}, Ticket)
    return Ticket()


def _jobs(plain: dict[str, Any], ticket: Ticket) -> Jobs | None:
    """The jobs written down; None where that cannot be read. Pure.

    A worker that is a process stands among them as `local:<pid>:<start>`; its host is the submitter's.
    """
    host = ticket.submitter.host if ticket.submitter else ""
    with suppress(KeyError, ValueError, TypeError, AttributeError, msgspec.MsgspecError):  # any JSON but ours
        processes = [job.split(":") for job in plain["jobs"] if job.startswith("local:")]
        workers = [{"host": host, "pid": int(pid), "start": int(start)} for _, pid, start in processes]
        ids = [job for job in plain["jobs"] if not job.startswith("local:")]
        return msgspec.convert({"ids": ids, "workers": workers}, Jobs)
    return None
