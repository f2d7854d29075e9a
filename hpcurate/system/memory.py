"""What the kernel reports about the main memory of our control group: whom it killed for it, and what was in use.

Control groups of version 2 (memory.events, memory.peak) and 1 (memory.oom_control, memory.max_usage_in_bytes; Linux's
Documentation/admin-guide/cgroup-v1/memory.rst). Runs in every stage environment: Python 3.9.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

MOUNTED = "/sys/fs/cgroup"
_JOB = re.compile(r"job_\d+")
"""What Slurm calls a job's own group."""


class MemoryGroup(msgspec.Struct, frozen=True):
    """A process's own control group and, within a job of Slurm's, those above it up to the job's, which is the last."""

    folders: tuple[str, ...] = ()
    of_job: bool = False

    @classmethod
    def here(cls, groups: str = "/proc/self/cgroup", mounted: str = MOUNTED) -> MemoryGroup:
        """Of this process and, unless they are moved, of all below it. Empty where no group counts memory."""
        with suppress(OSError), open(groups, encoding="utf-8") as file:
            top, path = _memory_group(file.read(), mounted)
            if not os.path.isdir(top + path):
                path = ""  # a container shows its own group as the root
            found = tuple(_up_to_job(path))
            return cls(tuple(top + one for one in found), bool(_JOB.fullmatch(os.path.basename(found[-1]))))
        return cls()

    def kills(self) -> int:
        """How often the kernel killed in these groups for memory, ever: only a difference says something."""
        return sum(_killed(folder) for folder in self.folders)

    def peak_mb(self) -> int:
        """Most MiB that the job has had in use on this node; 0 where that is not known."""
        if self.of_job:
            for name in ("memory.peak", "memory.max_usage_in_bytes"):
                with suppress(OSError, ValueError), open(os.path.join(self.folders[-1], name)) as file:
                    return int(file.read()) >> 20
        return 0


def _memory_group(text: str, mounted: str) -> tuple[str, str]:
    """(where groups that count memory are mounted, path of ours below it), from /proc/PID/cgroup. Pure."""
    lines = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return f"{mounted}/memory", path.rstrip("/")
    return mounted, next((path.rstrip("/") for number, _, path in lines if number == "0"), "")


def _up_to_job(path: str) -> Iterator[str]:
    """The path, and those above it up to a job's, if it is within one. Pure."""
    yield path
    within = any(_JOB.fullmatch(part) for part in path.split("/"))
    while within and not _JOB.fullmatch(os.path.basename(path)):
        path = os.path.dirname(path)
        yield path


def _killed(folder: str) -> int:
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError), open(os.path.join(folder, name)) as file:
            return int(dict(line.split() for line in file).get("oom_kill", 0))
    return 0


def peaks_mb(pids: Sequence[int]) -> float:
    """MiB that this process and those below it, `pids`, have had in use, each at most, as if all did so at once.

    Those that have left count as one, the largest.
    """
    own, left = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + left + sum(map(_peak_kb, pids))) / 1024


def _peak_kb(pid: int) -> int:
    """VmHWM of /proc/PID/status; 0 once it has left."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    return 0


def used_mb() -> int:
    """Most MiB that this process, or one that it or its children waited for, has had in use."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) >> 10
