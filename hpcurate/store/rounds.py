"""Rounds: the right to submit, and what became of each submission. State is in names.

`rounds/0001.ticket` is created exclusively by whoever may submit round 1 and holds who that is; `.job` holds
what was submitted, `.over` means that no worker of it is left and holds what is known of how they ended, `.cancelled`
that a user stopped it. `.beat` is a counter: whoever took the ticket raises it while the round hangs on that process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from hpcurate.failures import JobEnd
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

__all__ = ["LET_GO", "Jobs", "Round", "Rounds", "Ticket"]


class Jobs(msgspec.Struct, frozen=True):
    """The workers of a round, so that they are found again."""

    ids: tuple[str, ...] = ()
    """Of a scheduler: arrays by their own id."""
    workers: tuple[ProcessIdentity, ...] = ()
    """Processes of the machine that submitted."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.workers)

    def __str__(self) -> str:
        return ", ".join([*self.ids, *(f"process {worker.pid}" for worker in self.workers)])


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
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
    told_before: int = 0
    """Attempts of the open ones that had told something by then, as `Left.told` counts them."""
    memory_mb: int = 0
    """MiB that each of its workers has; 0: of a time without."""
    seconds: float = 0.0
    """Wall time that each of them has."""
    exclude: tuple[str, ...] = ()
    """Nodes that are left out."""
    special: str = ""
    """Which shards it is for and why, where it has more than an ordinary round."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a stage as the store has it."""

    number: int
    ticket: Ticket
    jobs: Jobs | None = None
    """What was submitted; None until that is written down."""
    over: bool = False
    cancelled: bool = False
    cancelled_run: str = ""
    """The run that its user cancelled; empty: of an earlier release, which did not write that down."""


LET_GO = b"let go      \n"
"""Content of a `.beat` whose process will not come back to the round; as long as a counter."""


class Rounds:
    """The rounds of one stage."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder
        self._known: set[str] = set()
        """Names that were made, or opened after another had made them: there, whatever a stale listing shows."""

    def take_ticket(self, number: int, ticket: Ticket) -> bool:
        """Win the right to submit round `number`: True for exactly one caller."""
        self._filesystem.make_folders(self._folder.rounds)
        plain = msgspec.to_builtins(ticket)
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
            self._filesystem.replace(self._path(number, "job"), json.dumps(plain).encode() + b"\n")

    def mark_over(self, number: int, *, endings: Mapping[str, JobEnd] | None = None) -> None:
        """Write down that no worker of the round is left. `endings`: element → how it ended, where that is known."""
        plain = {"endings": {element: msgspec.to_builtins(end) for element, end in (endings or {}).items()}}
        self._write(number, "over", plain)

    def mark_cancelled(self, number: int, run: str = "") -> None:
        """Write down that a user stopped the round with that run, which says nothing about its workers."""
        self._write_raw(number, "cancelled", run.encode())

    def beat(self, number: int, count: int) -> None:
        """Show that the process that took the ticket lives."""
        self._filesystem.beat(self._path(number, "beat"), b"%012d\n" % count)

    def let_go(self, number: int) -> None:
        """Show that the process that took the ticket has left the round to whoever looks next."""
        self._filesystem.beat(self._path(number, "beat"), LET_GO)

    def sign_of_life(self, number: int) -> bytes:
        """The latest beat; empty where there is none."""
        with suppress(FileNotFoundError):
            return self._filesystem.read(self._path(number, "beat"))
        return b""

    def endings(self, number: int) -> dict[str, JobEnd]:
        """Element (`<array job>_<task>`, or `<job>`) → how it ended, as far as whoever marked the round over knew."""
        with suppress(KeyError, AttributeError, msgspec.MsgspecError):
            said = self._json(number, "over")["endings"]  # earlier releases wrote the ending alone
            plain = {id: {"ending": end} if isinstance(end, str) else end for id, end in said.items()}
            return msgspec.convert(plain, dict[str, JobEnd])
        return {}

    def over(self) -> set[int]:
        """Numbers of the rounds that have no worker left; one listing."""
        return {int(name[:-5]) for name in self._names() if name.endswith(".over") and name[:-5].isdigit()}

    def read(self) -> list[Round]:
        """All rounds, first to last; one listing."""
        names = self._names()
        return [self._read(number, names) for number in _numbers(names)]

    def one(self, number: int) -> Round:
        """One round whose ticket is taken; its files are opened, not looked for in a listing."""
        return self._read(number, {f"{number:04d}.{kind}" for kind in _KINDS if self._is_there(number, kind)})

    def is_taken(self, number: int) -> bool:
        """Whether this process knows that somebody has the ticket."""
        return f"{number:04d}.ticket" in self._known

    def count(self) -> int:
        """How many there are; one listing."""
        return len(_numbers(self._names()))

    def _names(self) -> set[str]:
        """What a listing shows, and what this process knows better: a stale one must cost neither tickets nor time."""
        listed = set(self._filesystem.names(self._folder.rounds))
        hidden = _numbers(self._known - listed)
        opened = {f"{number:04d}.{kind}" for number in hidden for kind in _KINDS if self._is_there(number, kind)}
        return {name for name in listed if not name.startswith(".")} | self._known | opened

    def _is_there(self, number: int, kind: str) -> bool:
        with suppress(FileNotFoundError):
            self._filesystem.read(self._path(number, kind))
            return True
        return False

    def _path(self, number: int, kind: str) -> str:
        return f"{self._folder.round(number)}.{kind}"

    def _write(self, number: int, kind: str, plain: dict[str, Any]) -> bool:
        return self._write_raw(number, kind, json.dumps(plain).encode() + b"\n")

    def _write_raw(self, number: int, kind: str, data: bytes) -> bool:
        won = self._filesystem.create(self._path(number, kind), data)
        if won or self._is_there(number, kind):
            self._known.add(f"{number:04d}.{kind}")
        return won

    def _read(self, number: int, names: set[str]) -> Round:
        name, ticket = f"{number:04d}", _ticket(self._json(number, "ticket"))
        return Round(
            number=number,
            ticket=ticket,
            jobs=_jobs(self._json(number, "job"), ticket) if f"{name}.job" in names else None,
            over=f"{name}.over" in names,
            cancelled=f"{name}.cancelled" in names,
            cancelled_run=self._cancelled_run(number) if f"{name}.cancelled" in names else "",
        )

    def _cancelled_run(self, number: int) -> str:
        with suppress(FileNotFoundError):
            return self._filesystem.read(self._path(number, "cancelled")).decode(errors="replace")
        return ""

    def _json(self, number: int, kind: str) -> dict[str, Any]:
        """What a file of a round says; nothing where there is none, or half of one. Raises OSError.

        One that is there and cannot be read now is not an empty one: the round would lose its scheduler.
        """
        with suppress(FileNotFoundError, ValueError):
            plain = json.loads(self._filesystem.read(self._path(number, kind)))
            return plain if isinstance(plain, dict) else {}
        return {}


_KINDS = ("ticket", "job", "over", "cancelled")


def _numbers(names: set[str]) -> list[int]:
    """Numbers of the tickets among the names, sorted. Pure."""
    return sorted(int(name.split(".")[0]) for name in names if name.endswith(".ticket") and not name.startswith("."))


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
