"""Stage processes that begin as copies of their supervisor: where both share an environment, nothing is imported twice.

They are forked before the supervisor has threads or has copied anything to its node; one that ends is replaced by a
process that is started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn


class Forked:
    """A forked child, as `subprocess.Popen` shows one, and our end of its channel."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid, self.channel = pid, channel
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        with self._lock:
            if self.returncode is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # SIGCHLD is ignored here, so that nobody can know
                    pid, status = self.pid, 0
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status once it has ended. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("stage process", timeout or 0.0)
            time.sleep(0.01)
        return status

    def terminate(self) -> None:
        """Ask it to leave."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def fork(serve: Callable[[socket.socket, int], None], others: Sequence[Forked]) -> Forked:
    """A child in a session of its own that calls `serve(its end of the channel, our pid)` and then ends.

    `others` were forked before: the child closes our ends of their channels, so that they see when we are gone.
    """
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        theirs.close()
        return Forked(pid, ours)
    status = 1
    try:
        for end in (ours, *(other.channel for other in others)):
            end.close()
        _own_session()
        serve(theirs, parent)
        status = 0
    except SystemExit as error:  # a stage may leave so
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)


def _own_session() -> None:
    """No terminal, no signal handlers and no input of the supervisor's; what the stage prints is seen at once."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]


def _leave(status: int) -> NoReturn:
    """As an interpreter ends, without unwinding what the supervisor was doing when it forked."""
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
