"""Rounds: the right to submit, and what became of each submission. State is in names.

`rounds/0001.ticket` is created exclusively by whoever may submit round 1 and says who that is; `.job` says
what was submitted, `.over` that no worker of it is left, `.cancelled` that a user stopped it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import ProcessIdentity

__all__ = ["Jobs", "Round", "mark_over", "read_rounds", "record_job", "take_ticket"]


@attrs.define(frozen=True)
class Jobs:
    """The workers of a round, so that they are found again."""

    ids: tuple[str, ...] = ()
    """Of a scheduler: arrays by their own id."""
    workers: tuple[ProcessIdentity, ...] = ()
    """Processes of the machine that submitted."""

    def __bool__(self) -> bool:
        return bool(self.ids or self.workers)


@attrs.define(frozen=True, kw_only=True)
class Round:
    """One round of a stage as the store tells it."""

    number: int
    run: str = ""
    """Run that took the ticket."""
    submitter: ProcessIdentity | None = None
    launcher: str = ""
    """Kind of launcher that the ticket's owner uses: slurm, local, inline."""
    name: str = ""
    """Unique job name, to find a submission whose answer was lost."""
    jobs: tuple[str, ...] | None = None
    """What was submitted; None until that is written down."""
    done_before: int = 0
    """Committed shards when the ticket was taken."""
    over: bool = False
    cancelled: bool = False


def take_ticket(
    filesystem: Filesystem, folder: StageFolder, number: int, *, run: str, launcher: str, name: str, done: int
) -> bool:
    """Win the right to submit round `number`: True for exactly one caller."""
    filesystem.make_folders(folder.rounds)
    ticket = {
        "run": run,
        "launcher": launcher,
        "name": name,
        "submitter": ProcessIdentity.mine().to_json(),
        "done_before": done,
    }
    won = filesystem.create(f"{folder.round(number)}.ticket", json.dumps(ticket).encode() + b"\n")
    if won:
        failpoint("ticket.after")
    return won


def record_job(filesystem: Filesystem, folder: StageFolder, number: int, jobs: tuple[str, ...]) -> None:
    """Write down what was submitted."""
    filesystem.create(f"{folder.round(number)}.job", json.dumps({"jobs": jobs}).encode() + b"\n")


def mark_over(filesystem: Filesystem, folder: StageFolder, number: int, *, cancelled: bool = False) -> None:
    """Write down that no worker of the round is left."""
    if cancelled:
        filesystem.create(f"{folder.round(number)}.cancelled", b"")
    filesystem.create(f"{folder.round(number)}.over", b"")


def rounds_over(filesystem: Filesystem, folder: StageFolder) -> set[int]:
    """Numbers of the rounds that have no worker left; one listing."""
    names = filesystem.names(folder.rounds)
    return {int(name[:-5]) for name in names if name.endswith(".over") and name[:-5].isdigit()}


def read_rounds(filesystem: Filesystem, folder: StageFolder) -> list[Round]:
    """All rounds, first to last; one listing."""
    names = set(filesystem.names(folder.rounds))
    numbers = sorted(int(n.split(".")[0]) for n in names if n.endswith(".ticket") and not n.startswith("."))
    return [_read_round(filesystem, folder, number, names) for number in numbers]


def _read_round(filesystem: Filesystem, folder: StageFolder, number: int, names: set[str]) -> Round:
    path, name = folder.round(number), f"{number:04d}"
    ticket = _json(filesystem, f"{path}.ticket")
    job = _json(filesystem, f"{path}.job") if f"{name}.job" in names else {}
    submitter = ticket.pop("submitter", None)
    return Round(
        number=number,
        submitter=ProcessIdentity.from_json(submitter) if submitter else None,
        jobs=tuple(job["jobs"]) if "jobs" in job else None,
        over=f"{name}.over" in names,
        cancelled=f"{name}.cancelled" in names,
        **ticket,
    )


def _json(filesystem: Filesystem, path: str) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        plain: dict[str, Any] = json.loads(filesystem.read(path))
        return plain
    return {}
