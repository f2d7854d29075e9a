"""Who a process is, so that another one on the same machine can find out whether it still lives.

A pid alone is reused; host, boot, pid namespace and start time together are not. Runs in every stage
environment: Python 3.9 or newer.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Optional, Protocol

import msgspec


class ProcessIdentity(msgspec.Struct, frozen=True):
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

    def terminate(self, process: ProcessIdentity) -> None:
        """Ask it to end; nothing if it is not there, or not ours to ask."""


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

    def terminate(self, process: ProcessIdentity) -> None:
        """See `Processes`."""
        if self.alive(process):
            with suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)


def nonce(size: int = 4) -> str:
    """So many random bytes, in hexadecimal. (`secrets` would cost each worker 8 ms of imports.)"""
    return os.urandom(size).hex()


def _text(path: str, errors: str = "strict") -> str:
    with open(path, encoding="utf-8", errors=errors) as file:
        return file.read()


def this_host() -> str:
    """See `ProcessIdentity.host`."""
    try:
        boot = _text("/proc/sys/kernel/random/boot_id").strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: a host name has to do, and liveness is then unknown anyway
        boot = namespace = "?"
    return f"{os.uname().nodename} {boot} {namespace}"


def start_time(pid: int) -> Optional[int]:
    """Field 22 of /proc/PID/stat (proc(5)), or None if the process is gone or a zombie."""
    try:
        stat = _text(f"/proc/{pid}/stat")
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
    import ctypes

    try:
        ctypes.CDLL(None, use_errno=True).prctl(1, how, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux: the closed channel still ends a stage process
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def end_by(number: int) -> None:
    """End this process as one that has ended by this signal, which may have dumped its own core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(OSError):  # SIGKILL has no other action
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """From now on who loses its parent below this process becomes its child (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    import ctypes

    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Pids of all processes below this one."""
    if pid == os.getpid() and not _has_children():
        return []
    below = _children if os.path.exists(f"/proc/self/task/{threading.get_native_id()}/children") else _by_parent().get
    found, waiting = [], [pid]
    while waiting:
        children = below(waiting.pop()) or []
        found += children
        waiting += children
    return found


def _has_children() -> bool:
    """Whether this process has any, which costs one call; those it could wait for are left as they are."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children(pid: int) -> list[int]:
    """Asked thread by thread, which costs nothing on a node with thousands of processes."""
    found = []
    with suppress(OSError):  # it has left
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += [int(child) for child in _text(f"/proc/{pid}/task/{thread}/children").split()]
    return found


def _by_parent() -> dict[int, list[int]]:
    """The children of each process, for a kernel without CONFIG_PROC_CHILDREN."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):  # it has left, or is no process
            stat = _text(f"/proc/{int(name)}/stat")
            found.setdefault(int(stat[stat.rindex(")") + 2 :].split()[1]), []).append(int(name))
    return found


def resident_mb(pids: Sequence[int]) -> int:
    """MiB of main memory that these processes have in use, as Slurm adds it up: what they share counts for each."""
    pages = 0
    for pid in pids:
        with suppress(OSError):  # it has left
            pages += int(_text(f"/proc/{pid}/statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def cpu_seconds(pids: Optional[Sequence[int]] = None) -> float:
    """User and system time of this process and of all below it, those included that they have waited for.

    `pids`: those below it, where they are known.
    """
    pids = descendants(os.getpid()) if pids is None else pids
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    below = sum(map(_cpu_ticks, pids)) / os.sysconf("SC_CLK_TCK")
    return time.process_time() + waited.ru_utime + waited.ru_stime + below


def _cpu_ticks(pid: int) -> int:
    """Fields 14 to 17 of /proc/PID/stat: its own, and of the children it has waited for; 0 once it has left."""
    with suppress(OSError):
        stat = _text(f"/proc/{pid}/stat")
        return sum(int(ticks) for ticks in stat[stat.rindex(")") + 2 :].split()[11:15])
    return 0


def session_members(session: int) -> list[int]:
    """Pids of all processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):  # it has left, or is no process
            if os.getsid(int(name)) == session:
                found.append(int(name))
    return found


class Watched:
    """Another process, and whether it has ended: a pidfd tells (Linux 5.3), else /proc is looked at."""

    def __init__(self, pid: int) -> None:
        self.pid, self._start = pid, start_time(pid)
        self.descriptor: Optional[int] = None
        """Can be read from once the process has ended."""
        with suppress(OSError, AttributeError):
            self.descriptor = os.pidfd_open(pid)

    def gone(self) -> bool:
        """Whether it has ended, even if nobody has waited for it yet."""
        return self._start is None or start_time(self.pid) != self._start

    def close(self) -> None:
        """Watch no longer."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __del__(self) -> None:
        """What is killed is not closed, as another thread may wait for it."""
        if getattr(self, "descriptor", None) is not None:
            self.close()


def writers_under(folder: str, pids: list[int]) -> list[tuple[int, str]]:
    """(pid, path) of each file below `folder` that these processes have open for writing, or mapped so (shared).

    What is above the folder may be a link, the folder itself is none.
    """
    above, name = os.path.split(folder)
    prefix = os.path.join(_real(above), name, "")
    return [
        (pid, path[len(prefix) :])
        for pid in pids
        for path in (*_opened_for_writing(pid), *_mapped_for_writing(pid))
        if path.startswith(prefix)
    ]


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    """Where a folder really is: asked once, as attempts are many, and each step of the path is a look at the store."""
    return os.path.realpath(folder)


def _opened_for_writing(pid: int) -> list[str]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    return [path for path in (_open_for_writing(pid, descriptor) for descriptor in descriptors) if path]


def _mapped_for_writing(pid: int) -> list[str]:
    """Files of memory maps that outlive their descriptor (proc(5), /proc/PID/maps)."""
    try:
        maps = _text(f"/proc/{pid}/maps", errors="surrogateescape")
    except OSError:
        return []
    fields = [line.split(None, 5) for line in maps.split("\n")]
    return [found[5] for found in fields if len(found) == 6 and found[1][1] == "w" and found[1][3] == "s"]


def _open_for_writing(pid: int, descriptor: str) -> Optional[str]:
    try:
        path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if not path.startswith("/"):
            return None
        info = _text(f"/proc/{pid}/fdinfo/{descriptor}")
    except OSError:
        return None
    flags = next((int(line.split()[1], 8) for line in info.splitlines() if line.startswith("flags:")), 0)
    return path if flags & os.O_ACCMODE != os.O_RDONLY else None
