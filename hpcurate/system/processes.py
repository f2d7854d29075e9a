"""Who a process is, so that another one on the same machine can find out whether it still lives.

A pid alone is reused; host, boot, pid namespace and start time together are not. Runs in every stage
environment: Python 3.9 or newer.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional, Protocol

import attrs


@attrs.define(frozen=True)
class ProcessIdentity:
    """One process, unmistakably."""

    host: str
    """Host name, boot id and pid namespace: pids mean the same only where all three agree."""
    pid: int
    start: int
    """Start time in clock ticks since boot."""

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """A process of this machine."""
        return cls(this_host(), pid, start_time(pid) or 0)


class Processes(Protocol):
    """Who this process is, and whether others live."""

    def mine(self) -> ProcessIdentity:
        """The calling process."""

    def alive(self, process: ProcessIdentity) -> Optional[bool]:
        """True or False on the same host; None where only a scheduler or a heartbeat can answer."""


class SystemProcesses:
    """The real ones, from /proc."""

    def mine(self) -> ProcessIdentity:
        """See `Processes`."""
        return ProcessIdentity.of(os.getpid())

    def alive(self, process: ProcessIdentity) -> Optional[bool]:
        """See `Processes`."""
        if process.host != this_host():
            return None
        return start_time(process.pid) == process.start


def nonce(size: int = 4) -> str:
    """So many random bytes, in hexadecimal. (`secrets` would cost each worker 8 ms of imports.)"""
    return os.urandom(size).hex()


def this_host() -> str:
    """See `ProcessIdentity.host`."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: a host name has to do, and liveness is then unknown anyway
        boot = namespace = "?"
    return f"{socket.gethostname()} {boot} {namespace}"


def start_time(pid: int) -> Optional[int]:
    """Field 22 of /proc/PID/stat (proc(5)), or None if the process is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def share_of_cores(cores: Sequence[int], process: int, processes: int, each: int) -> tuple[int, ...]:
    """The cores of one of several processes: disjoint shares of `each`; none if there are not enough. Pure."""
    if each < 1 or processes < 1 or len(cores) < processes * each:
        return ()
    return tuple(sorted(cores)[process * each : (process + 1) * each])


def pin(cores: Sequence[int]) -> None:
    """Run this process, and what it starts, on these cores only; on all it may use where there are none."""
    if cores:
        with suppress(OSError):  # a cpuset that shrank meanwhile
            os.sched_setaffinity(0, set(cores))


def die_with_parent(parent: int, how: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(1, how, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux: the closed channel still ends a stage process
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def session_members(session: int) -> list[int]:
    """Pids of all processes of a session."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and _session(int(entry.name)) == session:
            found.append(int(entry.name))
    return found


def _session(pid: int) -> Optional[int]:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def writers_under(folder: str, pids: list[int]) -> list[tuple[int, str]]:
    """(pid, path) of every descriptor open for writing below `folder` in these processes."""
    found = []
    prefix = os.path.join(os.path.realpath(folder), "")
    for pid in pids:
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for descriptor in descriptors:
            path = _open_for_writing(pid, descriptor)
            if path and path.startswith(prefix):
                found.append((pid, path[len(prefix) :]))
    return found


def _open_for_writing(pid: int, descriptor: str) -> Optional[str]:
    try:
        path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if not path.startswith("/"):
            return None
        info = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
    except OSError:
        return None
    flags = next((int(line.split()[1], 8) for line in info.splitlines() if line.startswith("flags:")), 0)
    return path if flags & os.O_ACCMODE != os.O_RDONLY else None
