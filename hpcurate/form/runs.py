"""What was started from a form: a file for each start, which outlives the page, and where its run stands now."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import attrs
import msgspec

from hpcurate.form.command import Asked
from hpcurate.form.processes import begin
from hpcurate.form.secret_file import SecretFile
from hpcurate.masks import mask
from hpcurate.report.watcher import Snapshot, Watcher
from hpcurate.runs.folder import Run
from hpcurate.runs.state import RunState
from hpcurate.store.layout import Store
from hpcurate.system.processes import ProcessIdentity, SystemProcesses, nonce

__all__ = ["Seen", "Started", "StartedRuns"]

KEPT = 100
"""Starts that are remembered."""
HEAD_BYTES, TAIL_BYTES = 20_000, 4_000
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
_RUN = re.compile(r"^run ([A-Za-z0-9][\w.-]*)$", re.MULTILINE | re.ASCII)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """One start. Secrets are in it by name alone."""

    id: str
    pipeline: str
    asked: Asked
    folder: str
    process: ProcessIdentity
    digest: str

    @property
    def at(self) -> str:
        """`2026-01-31 12:00`, local time."""
        day, hour = self.id.split("-")[:2]
        return f"{day[:4]}-{day[4:6]}-{day[6:]} {hour[:2]}:{hour[2:4]}"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Where a start is."""

    started: Started
    alive: bool
    """Whether its command still works."""
    run: str
    """Name of the run; empty while there is none."""
    output: str
    """What the command printed: its beginning, and its end."""
    snapshot: Snapshot | None

    @property
    def state(self) -> str:
        """That of the run; before there is one `starting`, or `refused`."""
        if self.snapshot is not None:
            return self.snapshot.report.state.value
        return "starting" if self.alive else "refused"

    @property
    def moves(self) -> bool:
        """Whether it may be another one soon."""
        return self.alive or self.state == RunState.RUNNING.value


@attrs.define
class StartedRuns:
    """All starts of one user's forms, in a folder that is theirs alone."""

    path: str
    folder: str
    """Where commands are typed."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _watchers: dict[str, tuple[threading.Lock, Watcher]] = attrs.field(factory=dict)

    # -- starting -------------------------------------------------------------------------------------

    def start(self, pipeline: str, asked: Asked, secrets: SecretFile) -> Started:
        """Start it, unless the same is at work already. Raises ConfigError, OSError."""
        with self._lock:
            for other in self.all():
                if other.digest == asked.digest and other.folder == self.folder and self.alive(other):
                    return other
            return self._start(pipeline, asked, secrets)

    def _start(self, pipeline: str, asked: Asked, secrets: SecretFile) -> Started:
        chosen = secrets.values(asked.secrets.values()) if asked.secrets else {}
        values = {variable: chosen[name] for variable, name in asked.secrets.items()}
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{nonce()}"
        log = self._file(id, "log")
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        identity = begin(asked, self.folder, log, values)
        started = Started(
            id=id, pipeline=pipeline, asked=asked, folder=self.folder, process=identity, digest=asked.digest
        )
        self._write(started)
        self._forget_old()
        return started

    def _write(self, started: Started) -> None:
        path = self._file(started.id, "json")
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(started))
        os.replace(f"{path}.new", path)

    def _forget_old(self) -> None:
        for started in list(self.all())[KEPT:]:
            if not self.alive(started):
                for kind in ("json", "log"):
                    with suppress(OSError):
                        os.unlink(self._file(started.id, kind))

    def _file(self, id: str, kind: str) -> str:
        return os.path.join(self.path, f"{id}.{kind}")

    # -- looking --------------------------------------------------------------------------------------

    def all(self) -> Iterator[Started]:
        """The newest first."""
        names = os.listdir(self.path) if os.path.isdir(self.path) else []
        for id in sorted((name.removesuffix(".json") for name in names if name.endswith(".json")), reverse=True):
            if (started := self.one(id)) is not None:
                yield started

    def one(self, id: str) -> Started | None:
        """None if there is none of that name."""
        if not _ID.fullmatch(id):
            return None
        with suppress(OSError, msgspec.MsgspecError), open(self._file(id, "json"), "rb") as file:
            return msgspec.json.decode(file.read(), type=Started)
        return None

    def alive(self, started: Started) -> bool:
        """Whether its command still works on this machine."""
        return SystemProcesses().alive(started.process) is True

    def run(self, started: Started) -> Run | None:
        """The run that it started; None while there is none."""
        store = Store(os.path.abspath(os.path.join(started.folder, os.path.expanduser(started.asked.value("store")))))
        found = _RUN.search(self._head(started))
        run = Run(store, found[1]) if found else None
        return run if run is not None and os.path.isfile(os.path.join(run.path, "pipeline.json")) else None

    def seen(self, started: Started) -> Seen:
        """Look at its command and its run."""
        alive = self.alive(started)  # first: what it has done since is then seen
        run = self.run(started)
        return Seen(
            started=started,
            alive=alive,
            run=run.name if run else "",
            output=self.output(started),
            snapshot=self._look(started, run) if run else None,
        )

    def _look(self, started: Started, run: Run) -> Snapshot:
        with self._lock:
            if started.id not in self._watchers:
                self._watchers[started.id] = (threading.Lock(), Watcher(run))
            lock, watcher = self._watchers[started.id]
        with lock:
            return watcher.look()

    def forget(self, started: Started) -> None:
        """What was remembered between two looks at it: there is no third soon."""
        with self._lock:
            self._watchers.pop(started.id, None)

    def stop(self, started: Started) -> None:
        """End a command that has not begun its run yet."""
        SystemProcesses().terminate(started.process)

    # -- what it printed ------------------------------------------------------------------------------

    def _head(self, started: Started) -> str:
        with suppress(OSError), open(self._file(started.id, "log"), "rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8", "replace")
        return ""

    def output(self, started: Started) -> str:
        """Its beginning and its end, with secrets masked."""
        with suppress(OSError), open(self._file(started.id, "log"), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size <= 2 * TAIL_BYTES:
                return mask(file.read().decode("utf-8", "replace"))
            head = file.read(TAIL_BYTES)
            file.seek(size - TAIL_BYTES)
            parts = (part.decode("utf-8", "replace") for part in (head, file.read()))
            return mask("\n[…]\n".join(parts))
        return ""
