"""What the HTTP endpoint says of a request, and by which status: pure, from the service's events to plain values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hpcurate.serving.served import Cancelled, Event, Failed, OutFile, Queued, Result, Working

__all__ = [
    "Accepted",
    "Done",
    "Problem",
    "Problems",
    "State",
    "done_of",
    "event_of",
    "links_of",
    "state_of",
    "status_of",
]

Word = Literal["queued", "working", "done", "failed", "cancelled"]


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file among the results."""

    number: int
    """As tasks have it: `{"file": 0, …}`."""
    name: str
    field: str
    """Of the task."""
    media: str
    """Its media type."""
    size: int
    """Bytes."""
    url: str
    """Path of this server where it is."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended well: what became of its task."""

    id: str
    tasks: tuple[dict[str, Any], ...]
    """A file's value is `{"file": number, "name": …, "media": …}`."""
    files: tuple[SentFile, ...] = ()
    dropped: tuple[dict[str, Any], ...] = ()
    """`{stage, reason, value, threshold, measure}` of each task that a stage dropped."""
    failed: tuple[dict[str, Any], ...] = ()
    """`{stage, error, message}` of each task that failed in a stage, where another did not."""
    logged: tuple[dict[str, Any], ...] = ()
    """What stages logged."""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Stage → how long it took."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was queued."""

    id: str
    place: int
    """1: it is next."""
    links: dict[str, str]
    """`self`, `events`: paths of this server."""


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a request stands."""

    id: str
    state: Word
    place: int | None = None
    """While it is queued; 1: it is next."""
    stage: str | None = None
    """That has it, while it is in work."""
    result: Done | None = None
    error: Failed | None = None
    links: dict[str, str] = msgspec.field(default_factory=dict)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was not done."""

    problem: str


class Problems(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request can never be answered."""

    problems: dict[str, str]
    """Field → what is expected of it."""


STATUS = {"failed": 422, "timeout": 504, "memory": 507, "room": 507, "crash": 502, "setup": 502, "ending": 503}
"""Of a request that ended without a result. A task that failed is its input's fault, not the server's."""


def status_of(event: Event) -> int:
    """HTTP status of a request's last event. Pure."""
    if isinstance(event, Failed):
        return STATUS[event.kind]
    return 409 if isinstance(event, Cancelled) else 200


def links_of(request: str) -> dict[str, str]:
    """Paths of this server about a request. Pure."""
    return {"self": f"/requests/{request}", "events": f"/requests/{request}/events"}


def done_of(request: str, result: Result) -> Done:
    """A result as it is sent: where files lie is left out. Pure."""
    plain = {name: value for name, value in msgspec.structs.asdict(result).items() if name != "files"}
    return Done(id=request, files=tuple(_sent(request, file) for file in result.files), **plain)


def _sent(request: str, file: OutFile) -> SentFile:
    plain = {name: value for name, value in msgspec.structs.asdict(file).items() if name != "path"}
    return SentFile(url=f"/requests/{request}/files/{file.number}", **plain)


def event_of(request: str, event: Event) -> tuple[str, Any]:
    """(name, data) of an event as it is pushed. Pure."""
    if isinstance(event, Result):
        return "result", done_of(request, event)
    return type(event).__name__.lower(), event


def state_of(request: str, event: Event | None) -> State:
    """Where a request stands, by its newest event that is no line. Pure."""
    links = links_of(request)
    match event:
        case Result():
            return State(id=request, state="done", result=done_of(request, event), links=links)
        case Failed():
            return State(id=request, state="failed", error=event, links=links)
        case Cancelled():
            return State(id=request, state="cancelled", links=links)
        case Working():
            return State(id=request, state="working", stage=event.stage, links=links)
        case _:
            place = event.place if isinstance(event, Queued) else None
            return State(id=request, state="queued", place=place, links=links)
