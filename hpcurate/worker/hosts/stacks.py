"""Has the processes of a stage that hangs write their stacks to the log, before they are ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hpcurate.stage_process.stacks import STACKS
from hpcurate.worker.hosts import Log
from hpcurate.worker.log_file import own_log

LONGEST_S = 2.0
"""How long one process may take."""
QUIET_S = 0.1
"""It is done once nothing was added to the log for so long."""
_STDERR = 2
"""Where the stage processes write, too, if there is no log of its own."""
_BIT = 1 << (STACKS - 1)


def write_stacks(title: str, pids: Sequence[int], log: Log) -> str:
    """Have those of the processes that can write their stacks; where these stand.

    Forked children of a stage process can, as it itself, also while native code holds Python's lock.
    """
    log(title)
    for pid in pids:
        if _mask(pid, "SigCgt") & _BIT:  # it would end others
            log(f"process {pid}:")
            _write(pid)
    return f"{_path()}, below {title!r}"


def _write(pid: int) -> None:
    """One that is stopped goes on for that."""
    with suppress(OSError):  # it has ended
        os.kill(pid, STACKS)
        os.kill(pid, signal.SIGCONT)
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end and (_mask(pid, "SigPnd") | _mask(pid, "ShdPnd")) & _BIT:
        time.sleep(0.01)
    size = -1
    while time.monotonic() < end and size != (size := _log_size()):
        time.sleep(QUIET_S)


def _mask(pid: int, name: str) -> int:
    """A set of signals, as proc(5) shows it; none of a process that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1], 16)
    return 0


def _path() -> str:
    with suppress(OSError):
        path = own_log() or os.readlink(f"/proc/self/fd/{_STDERR}")
        if os.path.isfile(path):
            return path
    return "the log of its worker"


def _log_size() -> int:
    with suppress(OSError):
        return (os.stat(own_log()) if own_log() else os.fstat(_STDERR)).st_size
    return 0
