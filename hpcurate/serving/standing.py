"""Where a server stands: what it wrote, in the light of what its scheduler or the machine answers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from hpcurate.errors import StoreError
from hpcurate.runs.launcher import JobRow, NoQueue, Queue
from hpcurate.runs.queues import queue_named
from hpcurate.serving.servers import Ended, Listening, Server, ServerProcess, ServerSpec, SubmittedJob
from hpcurate.store.rounds import Jobs
from hpcurate.system.processes import Processes, SystemProcesses

__all__ = ["Seen", "Standing", "State", "look", "state_of"]


class State(enum.Enum):
    """Where a server stands."""

    QUEUED = "queued"
    """Its job waits."""
    STARTING = "starting"
    """It has begun, and does not listen yet."""
    READY = "ready"
    """It listens."""
    ENDED = "ended"
    """It wrote why, or was cancelled before it could."""
    LOST = "lost"
    """Its process or job is no more, and it could not say why: it was killed, or its machine failed."""

    @property
    def over(self) -> bool:
        """Whether it answers no more, ever."""
        return self in (State.ENDED, State.LOST)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of a server in one look."""

    job: SubmittedJob | None = None
    process: ServerProcess | None = None
    listening: Listening | None = None
    ended: Ended | None = None
    asked: str = ""
    """Who asked it to end."""
    row: JobRow | None = None
    """Of the queue."""
    alive: bool | None = None
    """Whether its job is queued or runs, or its process lives; None: nobody here can say."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and where it stands."""

    server: Server
    spec: ServerSpec
    seen: Seen

    @property
    def state(self) -> State:
        """See `state_of`."""
        return state_of(self.seen)


def state_of(seen: Seen) -> State:
    """What it wrote itself comes first, and of the rest what denies it. Pure."""
    if seen.ended is not None:
        return State.ENDED
    if seen.alive is False:
        return State.ENDED if seen.asked else State.LOST
    if seen.listening is not None:
        return State.READY
    begun = seen.process is not None or (seen.row is not None and seen.row.state != "PENDING")
    return State.STARTING if begun else State.QUEUED


def look(servers: Sequence[Server], own: Queue | None = None, processes: Processes | None = None) -> list[Standing]:
    """Where each of them stands. Each scheduler is asked once, and only about those that have not ended.

    `own`: the queue of the call's launcher, which answers for its jobs. A folder without a `server.json` is left out.
    """
    read = [(server, spec) for server in servers if (spec := _spec(server)) is not None]
    seen = {server.name: _read(server) for server, _ in read}
    rows = _rows(seen, own or NoQueue())
    alive = _alive_of(rows, processes or SystemProcesses())
    return [
        Standing(server=server, spec=spec, seen=msgspec.structs.replace(one, row=_row(one, rows), alive=alive(one)))
        for server, spec in read
        for one in [seen[server.name]]
    ]


def _spec(server: Server) -> ServerSpec | None:
    with suppress(StoreError):
        return server.spec
    return None


def _read(server: Server) -> Seen:
    """The end last: what has ended by then listens no more."""
    return Seen(
        job=_with_id(server),
        process=server.process,
        listening=server.listening,
        asked=server.asked_to_end,
        ended=server.ended,
    )


def _with_id(server: Server) -> SubmittedJob | None:
    """Its job; one whose id was never written down is looked for by its name."""
    job = server.job
    if job is None or job.id or server.ended is not None:
        return job
    queue = queue_named(job.queue, NoQueue())
    found = queue.find(server.name) if queue else None
    return msgspec.structs.replace(job, id=found[-1]) if found else job


Rows = Mapping[tuple[str, str], Mapping[str, JobRow] | None]
"""(queue, cluster) → id → its row; None where nobody answers for that cluster."""


def _rows(seen: Mapping[str, Seen], own: Queue) -> Rows:
    asked: dict[tuple[str, str], list[str]] = {}
    for one in seen.values():
        if one.job and one.job.id and one.ended is None:
            asked.setdefault(_key(one.job), []).append(one.job.id)
    return {key: _answer(*key, ids, own) for key, ids in asked.items()}


def _key(job: SubmittedJob) -> tuple[str, str]:
    return job.queue, job.cluster


def _answer(name: str, cluster: str, ids: Sequence[str], own: Queue) -> Mapping[str, JobRow] | None:
    queue = queue_named(name, own)
    if queue is None or queue.cluster() != cluster:  # the same ids are other jobs there
        return None
    rows = queue.rows(Jobs(tuple(ids)))
    return None if rows is None else {row.id: row for row in rows}


def _row(one: Seen, rows: Rows) -> JobRow | None:
    known = rows.get(_key(one.job)) if one.job else None
    return known.get(one.job.id) if known and one.job else None


def _alive_of(rows: Rows, processes: Processes) -> Callable[[Seen], bool | None]:
    def alive(one: Seen) -> bool | None:
        if one.ended is not None:
            return None
        if one.job is None:
            return processes.alive(one.process.identity) if one.process else None
        known = rows.get(_key(one.job))
        return None if known is None else one.job.id in known

    return alive
