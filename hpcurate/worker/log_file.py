"""The log of a worker: what it, its stage and all that they start print, with secrets masked, and never without end.

A small process stands between them and the file: it reads until nobody is left that could write, so the end of what a
killed process wrote is not lost, and neither is what came before a kill of the worker itself. A stage that prints a
line for each row would fill the storage: of a log that is too long the first half stays, and what was printed last.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

import attrs

from hpcurate.masks import Sieve, keep_named, known
from hpcurate.planning.plan import Plan, log_path

BLOCK = 1 << 16
END_S = 5.0
"""How long a worker that ends waits for the rest of its log: a process that was left behind may hold it open."""
_STAYING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE,
)  # fmt: skip
"""A scheduler signals all processes of a job: this one ends with the last writer."""
_own: list[str] = []


def log_to_file(plan: Plan, submission: str, index: int) -> None:
    """Send stdout and stderr of this worker and its children to its log; Slurm's file keeps what came before.

    And what comes, where the log cannot be opened. Called before there are threads.
    """
    keep_named(plan.stage.spec.parameters)
    path = log_path(submission, index)
    log = _opened(path, int(plan.stage.log_mb * (1 << 20)), plan.stage.name)
    _own[:] = [path] * bool(log.most)
    sys.stdout.flush()
    writer, end = _writer_of(log)
    os.dup2(end, 1)
    os.dup2(end, 2)
    os.close(end)
    _writers[:] = [writer]


def look_after() -> None:
    """If the process that writes the log was killed, go on in its place: who prints must not wait, or fail."""
    for writer in _writers:
        writer.is_through()


def own_log() -> str:
    """Path of the log of this worker; empty where it writes no file of its own."""
    return _own[0] if _own else ""


@attrs.define
class _Log:
    """An open log, and how much it has."""

    descriptor: int
    most: int
    """Bytes; 0: no file of ours."""
    stage: str
    size: int = 0
    left_out: int = 0
    """Bytes, of its middle."""
    note: bytes = b""
    """That says so."""

    def write(self, data: bytes) -> None:
        """Add to the end."""
        with suppress(OSError):  # the log is in the store, which may be full: what is printed meanwhile is lost
            if self.most and self.size + len(data) > self.most:
                self._leave_out()
            self._add(data)

    def _leave_out(self) -> None:
        """All after the first half of what it may have."""
        half = min(self.size, self.most // 2)
        os.ftruncate(self.descriptor, half)
        self.left_out, self.size = self.left_out + self.size - half - len(self.note), half
        more = f"stages.{self.stage}.log_mb is {self.most / (1 << 20):g}"
        self.note = f"\n[... {self.left_out} bytes of this log were left out here: {more}]\n".encode()
        self._add(self.note)

    def _add(self, data: bytes) -> None:
        while data:
            written = os.write(self.descriptor, data)
            data, self.size = data[written:], self.size + written


def _opened(path: str, most: int, stage: str) -> _Log:
    try:
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))  # never the submission's: without that the store is not there
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        return _Log(descriptor, most, stage, os.fstat(descriptor).st_size)  # a requeued worker's has content
    except OSError as error:
        print(f"{path}: {error.strerror}; the log continues here", flush=True)
        return _Log(os.dup(1), 0, stage)


@attrs.define
class _Writer:
    """The process that writes a log, and what it takes to go on in its place."""

    pid: int
    reading: int
    """What it reads: as long as this is open nobody gets a broken pipe."""
    log: _Log
    status: int | None = None
    """How it ended."""
    instead: threading.Thread | None = None

    def is_through(self) -> bool:
        """Whether everything is written that came until nobody was left who could print."""
        if self.status is None:
            self.status = self._ended()
        if self.status and self.instead is None:
            self.log.size = os.fstat(self.log.descriptor).st_size
            self.instead = threading.Thread(target=_pass_on, args=(self.reading, self.log), daemon=True)
            self.instead.start()
        return self.status is not None and not (self.instead and self.instead.is_alive())

    def _ended(self) -> int | None:
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        return status if pid else None

    def let_go(self) -> None:
        """In a child of this process."""
        for descriptor in (self.reading, self.log.descriptor):
            os.close(descriptor)


_writers: list[_Writer] = []
"""The one of this process."""


def _writer_of(log: _Log) -> tuple[_Writer, int]:
    """A child of ours, and the end of the pipe to write to."""
    reading, writing = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STAYING)
    child = os.fork()
    if not child:
        os.close(writing)
        _write(reading, log)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.register_at_fork(after_in_child=_let_go)
    atexit.register(_end, os.getpid())
    return _Writer(child, reading, log), writing


def _write(reading: int, log: _Log) -> NoReturn:
    try:
        for number in _STAYING:
            signal.signal(number, signal.SIG_IGN)
        for descriptor in (0, 1, 2):  # not even a file of the scheduler's is held open by this process
            os.dup2(log.descriptor, descriptor)
        _pass_on(reading, log)
        os._exit(0)
    finally:
        os._exit(1)


def _pass_on(reading: int, log: _Log) -> None:
    sieve = Sieve(known())
    while data := os.read(reading, BLOCK):
        log.write(sieve.feed(data))
    log.write(sieve.rest())


def _let_go() -> None:
    while _writers:
        _writers.pop().let_go()


def _end(owner: int) -> None:
    """Let go of the pipe, and wait until its other end has written everything."""
    if os.getpid() != owner:  # a stage process that was forked from it
        return
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    deadline = time.monotonic() + END_S
    while not all(writer.is_through() for writer in _writers) and time.monotonic() < deadline:
        select.select([], [], [], 0.005)
