"""What is served, and what is said about a request: frozen values between the service and whoever shows it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from hpcurate.web.uploads import Upload

__all__ = [
    "Cancelled", "Event", "Failed", "Field", "Given", "Limits", "Line", "OutFile", "Queued", "Result", "Served",
    "Upload", "Working",
]  # fmt: skip

Kind = Literal["text", "long_text", "integer", "number", "boolean", "choice", "json", "file"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One value that somebody may give: of a task, or a parameter of a stage."""

    key: str
    """Of a task its field; of a parameter `stage.parameter`, as a command line has it after `stages.`."""
    kind: Kind
    help: str = ""
    required: bool = False
    default: Any = None
    """Plain data; None where there is none, or it is None."""
    choices: tuple[Any, ...] = ()
    optional: bool = False
    """Whether it may be null."""
    suffixes: tuple[str, ...] = ()
    """Of a file: those that its source takes, e.g. `.mp4`; empty: any."""
    quick: bool = True
    """Of a parameter: another value needs no new set-up of its stage."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one server bears."""

    workers: int = 1
    """Requests in work at once: each has stage processes of its own."""
    queue: int = 20
    """Requests that wait at most; the next is refused."""
    request_s: float = 600.0
    """Seconds that one stage may take over a request."""
    upload_mb: int = 2000
    """MiB of one request's files at most."""
    keep_s: float = 3600.0
    """Seconds after its end that a request's files stay."""
    idle_s: float | None = None
    """Seconds without a request after which the server ends; None: never."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a page and an endpoint are made from."""

    title: str
    """Such as `caption of video`."""
    about: str = ""
    """First lines of the stage's docstring."""
    stages: tuple[str, ...]
    """In the order in which a request goes through them."""
    inputs: tuple[Field, ...]
    """Fields of the task."""
    parameters: tuple[Field, ...]
    """Of the stages, those of the named one first."""
    example: dict[str, Any] = msgspec.field(default_factory=dict)
    """Default request: field → value."""
    limits: Limits = Limits()


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a request gives, not checked yet."""

    id: str
    """Of the request: ours, 32 hexadecimal digits."""
    folder: str
    """Its own, with its uploads in it."""
    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    """Field → plain value."""
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    """Key → plain value; those that are left out have the served ones."""
    files: dict[str, Upload] = msgspec.field(default_factory=dict)
    """Field → upload."""


class OutFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file among the results."""

    number: int
    """Its name for others: files are asked for by number."""
    name: str
    """Last part of its path."""
    field: str
    """Of the task, such as `clip`."""
    media: str
    """Its media type, by its suffix: `video/mp4`."""
    size: int
    """Bytes."""
    path: str
    """Where it lies; never sent to anybody."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended well: what became of its task."""

    tasks: tuple[dict[str, Any], ...]
    """Rows as they would stand in `tasks.jsonl`; a file's value is `{"file": number, "name": …, "media": …}`."""
    files: tuple[OutFile, ...] = ()
    dropped: tuple[dict[str, Any], ...] = ()
    """`{stage, reason, value, threshold, measure}` of each task that a stage dropped."""
    failed: tuple[dict[str, Any], ...] = ()
    """`{stage, error, message}` of each task that failed in a stage, where another did not."""
    logged: tuple[dict[str, Any], ...] = ()
    """What stages logged: `{stage, kind, name, …}`."""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    """Stage → how long it took."""


# -- what is pushed about a request, in this order: Queued*, (Working | Line)*, then one of Result, Failed, Cancelled


class Queued(msgspec.Struct, frozen=True, tag="queued"):
    """It waits."""

    place: int
    """1: it is next."""


class Working(msgspec.Struct, frozen=True, tag="working"):
    """A stage has it."""

    stage: str
    done: int
    """Stages that are through with it."""
    of: int
    setting_up: bool = False
    """Its process is being set up for it first."""


class Line(msgspec.Struct, frozen=True, tag="line"):
    """What a stage printed while it had the request."""

    text: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It ended without a result, and why."""

    kind: Literal["failed", "crash", "timeout", "memory", "room", "setup", "ending"]
    """The task failed; or its process died, took too long, took too much memory, had no room for files, could not be
    set up; or the server is ending."""
    stage: str
    message: str
    traceback: str = ""


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """Whoever had sent it took it back."""


Event = Queued | Working | Line | Result | Failed | Cancelled
