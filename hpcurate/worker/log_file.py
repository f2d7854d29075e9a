"""The log of a worker: what it, its stage and all that they start print, with secrets masked.

Where the environment has no secret, they write into the file themselves. Otherwise a small process stands between: it
reads until nobody is left that could write, so the end of what a killed process wrote is not lost, and neither is what
came before a kill of the worker itself.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

from hpcurate.masks import Sieve, keep_named, known
from hpcurate.planning.plan import Plan, log_path

BLOCK = 1 << 16
END_S = 5.0
"""How long a worker that ends waits for the rest of its log: a process that was left behind may hold it open."""
_STAYING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE,
)  # fmt: skip
"""A scheduler signals all processes of a job: this one ends with the last writer."""


def log_to_file(plan: Plan, submission: str, index: int) -> None:
    """Send stdout and stderr of this worker and its children to its log; Slurm's file keeps what came before.

    And what comes, where the log cannot be opened. Called before there are threads.
    """
    keep_named(plan.stage.spec.parameters)
    log, secrets = _opened(log_path(submission, index)), known()
    sys.stdout.flush()
    end = _sifted(log, Sieve(secrets)) if secrets else log
    os.dup2(end, 1)
    os.dup2(end, 2)
    for descriptor in {log, end}:
        os.close(descriptor)


def _opened(path: str) -> int:
    try:
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))  # never the submission's: without that the store is not there
        return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    except OSError as error:
        print(f"{path}: {error.strerror}; the log continues here", flush=True)
        return os.dup(1)


def _sifted(log: int, sieve: Sieve) -> int:
    """The end of a pipe to write to; a child of ours passes on what comes out."""
    reading, writing = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STAYING)
    child = os.fork()
    if not child:
        os.close(writing)
        _pass_on(reading, log, sieve)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(reading)
    atexit.register(_end, os.getpid(), child)
    return writing


def _pass_on(reading: int, log: int, sieve: Sieve) -> NoReturn:
    try:
        for number in _STAYING:
            signal.signal(number, signal.SIG_IGN)
        for descriptor in (0, 1, 2):  # not even a file of the scheduler's is held open by this process
            os.dup2(log, descriptor)
        while data := os.read(reading, BLOCK):
            _write(log, sieve.feed(data))
        _write(log, sieve.rest())
    finally:
        os._exit(0)


def _write(log: int, data: bytes) -> None:
    with suppress(OSError):  # the log is in the store, which may be full: what is printed meanwhile is lost
        while data:
            data = data[os.write(log, data) :]


def _end(owner: int, child: int) -> None:
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
    with suppress(ChildProcessError):
        while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < deadline:
            select.select([], [], [], 0.005)
