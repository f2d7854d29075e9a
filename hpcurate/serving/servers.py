"""A server: something that is served, its folder in the store, and what is written there of its life.

STORE/serving/<name>/server.json    what it is, frozen
                     job.json       the job that it was submitted as
                     process.json   the process that it is, once it has begun
                     address.json   where it listens, with its token, while it does
                     cancel         somebody asked it to end
                     ended.json     when and why it ended; written once
                     log, requests/, code-<digest>/

The folder is its owner's alone, also in a group's store. Nothing here asks a scheduler: see `standing.py`.
"""

from __future__ import annotations

import datetime
import json
import os
import re
from contextlib import suppress
from typing import Any, Literal, TypeVar

import attrs
import msgspec

from hpcurate.errors import StoreError
from hpcurate.runs.commands import Command
from hpcurate.store.access import OWNER
from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import Store
from hpcurate.system.processes import ProcessIdentity, nonce

__all__ = [
    "Ended", "Listening", "Server", "ServerProcess", "ServerSpec", "SubmittedJob", "find_server", "new_server",
    "server_names", "servers_of",
]  # fmt: skip

LOOPBACK = "127.0.0.1"
GRACE_S = 20.0
"""How long what is in work may take once a server is to end: less than Slurm's KillWait, 30 s by default."""
Why = Literal["cancelled", "idle", "time", "failed"]
_CANCEL = "cancel"
_NAME = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+)*-\d{8}-\d{6}-[0-9a-f]{4}")
Value = TypeVar("Value")


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is, as it was when somebody typed it: `server.json`."""

    what: str
    """For people: `caption of video`."""
    entry: str
    """`module.function` that makes what is served: see `hpcurate.serving.host`."""
    served: dict[str, Any] = msgspec.field(default_factory=dict)
    """Plain data for that function; nobody else reads it."""
    command: Command = Command()
    listen: str = LOOPBACK
    port: int = 0
    """0: any that is free."""
    idle_s: float | None = None
    """Seconds without a request after which it ends; None: never."""
    grace_s: float = GRACE_S
    launcher: dict[str, Any] | None = None
    """`_target_` and parameters of the launcher that submits it; None: it runs where it is typed."""
    code: str | None = None
    """Frozen copy of the code; None: what is installed."""
    time: str = ""
    """Wall time of the job that it is submitted as."""
    made: float
    """When, seconds since the epoch."""


class SubmittedJob(msgspec.Struct, frozen=True, kw_only=True):
    """`job.json`. Also written before it is submitted, without an id: it may be queued, then, under its name."""

    queue: str
    """Name of the launcher whose queue answers for it."""
    cluster: str = ""
    id: str = ""


class ServerProcess(msgspec.Struct, frozen=True, kw_only=True):
    """`process.json`."""

    identity: ProcessIdentity
    host: str
    """Name of the machine."""
    node: str = ""
    """Slurm's name of it; empty outside a job."""
    began: float
    """Seconds since the epoch, as all times here."""
    until: float | None = None
    """When the time of its job is over; None: never."""


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """`address.json`: mode 0600, in a folder that only its owner enters."""

    host: str
    port: int
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Listening({self.host}:{self.port})"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """`ended.json`."""

    why: Why
    message: str = ""
    """For people: who cancelled it, or what failed."""
    at: float


@attrs.define(frozen=True)
class Server:
    """One server, by its folder."""

    path: str
    filesystem: Filesystem = POSIX

    @property
    def name(self) -> str:
        """Also that of its job."""
        return os.path.basename(self.path)

    @property
    def log(self) -> str:
        """What its job printed."""
        return os.path.join(self.path, "log")

    @property
    def requests(self) -> str:
        """A folder for each request."""
        return os.path.join(self.path, "requests")

    # -- reading --------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """What is in its folder; empty if that is gone. Raises OSError."""
        return self.filesystem.names(self.path)

    @property
    def spec(self) -> ServerSpec:
        """Raises StoreError."""
        found = self._read("server.json", ServerSpec)
        if found is None:
            raise StoreError(f"{self.path}: no server, or one of another hpcurate: server.json cannot be read")
        return found

    @property
    def job(self) -> SubmittedJob | None:
        """The job that it is; None if it runs where it was typed."""
        return self._read("job.json", SubmittedJob)

    @property
    def process(self) -> ServerProcess | None:
        """None until it has begun."""
        return self._read("process.json", ServerProcess)

    @property
    def listening(self) -> Listening | None:
        """None unless it listens."""
        return self._read("address.json", Listening)

    @property
    def ended(self) -> Ended | None:
        """None while it has not ended, or could not say so."""
        return self._read("ended.json", Ended)

    @property
    def asked_to_end(self) -> str:
        """Who asked it to, and where; empty if nobody did."""
        if _CANCEL not in self.names():
            return ""
        with suppress(OSError):
            return self.filesystem.read(self._file(_CANCEL)).decode(errors="replace").strip()
        return "somebody"

    def log_tail(self, lines: int) -> list[str]:
        """The last lines of its log; none if there is no log."""
        with suppress(OSError), open(self.log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 64_000))
            return file.read().decode(errors="replace").splitlines()[-lines:]
        return []

    def _read(self, name: str, kind: type[Value]) -> Value | None:
        """None where it is not there; also where another hpcurate wrote it. A listing first: misses are cached."""
        if name not in self.names():
            return None
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self.filesystem.read(self._file(name)), type=kind)
        return None

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    # -- writing: each file has one writer ------------------------------------------------------------

    def record_spec(self, spec: ServerSpec) -> None:
        """By whoever makes it, before anybody else reads it. Raises OSError."""
        self._write("server.json", spec)

    def record_job(self, job: SubmittedJob) -> None:
        """By whoever submits it. Raises OSError."""
        self._write("job.json", job)

    def record_process(self, process: ServerProcess) -> None:
        """By the server, first of all. Raises OSError."""
        self._write("process.json", process)

    def record_listening(self, listening: Listening) -> None:
        """By the server, once it listens. Raises OSError."""
        self._write("address.json", listening)

    def forget_listening(self) -> None:
        """By the server, or by who has seen that it is no more."""
        with suppress(OSError):
            os.unlink(self._file("address.json"))

    def record_end(self, ended: Ended) -> bool:
        """Whether this is why it ended: the first one stands. Nothing is written if the folder is gone."""
        with suppress(OSError):
            return self.filesystem.create(self._file("ended.json"), _json(ended))
        return False

    def ask_to_end(self, who: str) -> None:
        """By anybody who may write there. Raises OSError."""
        self.filesystem.create(self._file(_CANCEL), f"{who}\n".encode())

    def _write(self, name: str, value: msgspec.Struct) -> None:
        self.filesystem.replace(self._file(name), _json(value))


def _json(value: msgspec.Struct) -> bytes:
    return json.dumps(msgspec.to_builtins(value), indent=1).encode() + b"\n"


# -- all of a store -----------------------------------------------------------------------------------


def new_server(store: Store, title: str, spec: ServerSpec, filesystem: Filesystem = POSIX) -> Server:
    """A server with a folder of its own, named by `title`: letters of it, the second, chance. Raises OSError."""
    filesystem.make_folders(store.serving)
    server = Server(os.path.join(store.serving, new_name(title, spec.made, nonce(2))), filesystem)
    os.mkdir(server.path, OWNER)
    os.chmod(server.path, OWNER)  # a group's store hands its own bits down
    os.mkdir(server.requests, OWNER)
    server.record_spec(spec)
    return server


def new_name(title: str, made: float, chance: str) -> str:
    """`caption-20261123-101500-ab12`. Pure."""
    word = re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-")[:32].strip("-") or "server"
    stamp = datetime.datetime.fromtimestamp(made, datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return f"{word}-{stamp}-{chance}"


def server_names(store: Store, filesystem: Filesystem = POSIX) -> list[str]:
    """Of all servers of the store, also of other users; the oldest first."""
    names = (name for name in filesystem.names(store.serving) if _NAME.fullmatch(name))
    return sorted(names, key=lambda name: name.rsplit("-", 3)[1:])


def servers_of(store: Store, filesystem: Filesystem = POSIX) -> list[Server]:
    """One's own, the oldest first: others' folders cannot be entered."""
    found = (Server(os.path.join(store.serving, name), filesystem) for name in server_names(store, filesystem))
    return [server for server in found if os.access(server.path, os.R_OK | os.X_OK) and _is_own(server.path)]


def _is_own(path: str) -> bool:
    with suppress(OSError):
        return os.stat(path).st_uid == os.getuid()
    return False


def find_server(store: Store, wanted: str) -> Server | None:
    """The server that a user means by a name or a part of one; None if there is none. Raises StoreError for several."""
    own = {server.name: server for server in servers_of(store)}
    if wanted in own:
        return own[wanted]
    names = [name for name in own if name.startswith(wanted)] or [name for name in own if wanted in name]
    if len(names) > 1:
        raise StoreError(f"more than one server is called {wanted!r}; there are: {', '.join(names[-5:])}")
    return own[names[0]] if names else None
