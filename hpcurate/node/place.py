"""Which folder of a node holds its copies. Runs in stage processes, too: Python 3.9 or newer."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

from hpcurate.system.allocation import Allocation

MEMORY = ("tmpfs", "ramfs", "devtmpfs")
TMPFS = "tmpfs:"
"""Prefix of a candidate that may lie in memory."""


def node_name() -> str:
    """Slurm's name of this node, or the host's: emulated nodes share one host."""
    return Allocation.here().node_name or platform.node()


def choose_folder(candidates: Sequence[str]) -> tuple[Optional[str], str]:
    """(folder of ours, keyed by node, or None; why not). The first candidate that will do.

    Raises OSError where there is none but one that is there and cannot be written to: the node is at fault.
    """
    reasons, fault = [], None
    for candidate in candidates:
        allowed = candidate.startswith(TMPFS)
        base = os.path.expanduser(os.path.expandvars(candidate[len(TMPFS) :] if allowed else candidate))
        reason = _why_not(base, allowed)
        if reason is None:
            mine = os.path.join(base, f"hpcurate-{os.getuid()}")
            folder = os.path.join(mine, node_name())
            try:
                if _private(mine) and _private(folder):
                    test_write(folder)
                    return folder, ""
                reason = f"{mine} belongs to another user"
            except OSError as error:
                fault, reason = fault or error, error.strerror or "cannot be used"
        reasons.append(f"{base}: {reason}")
    if fault:
        raise fault
    return None, "; ".join(reasons) or "the site profile names no node_local folder"


def test_write(folder: str) -> None:
    """Raises OSError where nothing can be written: a disk that is full, broken or mounted read-only."""
    descriptor, path = tempfile.mkstemp(prefix=".test-", dir=folder)
    try:
        os.write(descriptor, b"\0" * 4096)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        os.unlink(path)


def own_folder() -> str:
    """Ours in the temporary folder, for small things: used if no candidate will do.

    If another user has taken that name, a folder of this process only: nobody can keep our workers from starting.
    """
    mine = os.path.join(tempfile.gettempdir(), f"hpcurate-{os.getuid()}")
    folder = os.path.join(mine, node_name())
    with suppress(OSError):
        if _private(mine) and _private(folder):
            return folder
    return tempfile.mkdtemp(prefix="hpcurate-")


def _private(folder: str) -> bool:
    """Make a folder that only this user can enter; False if it is another user's: /tmp is shared."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.lstat(folder).st_uid != os.getuid() or os.path.islink(folder):
        return False
    os.chmod(folder, 0o700)
    return True


def _why_not(base: str, memory_allowed: bool) -> Optional[str]:
    if "$" in base or not os.path.isabs(base):
        return "not an absolute path here"
    if not os.path.isdir(base):
        return "missing"
    kind, root = mount_of(base, Path("/proc/self/mountinfo").read_text())
    if kind in MEMORY and not memory_allowed:
        return f"lies in memory ({kind})"
    if names_job(f"{base} {root}", Allocation.here().job_id or "") and not _whole_node():
        return "is private to this job, which shares the node with others"
    return None


def names_job(text: str, job: str) -> bool:
    """Whether a path is one job's own, as job_container/tmpfs and many prologs make them: its id is in it. Pure."""
    return bool(job) and re.search(rf"(?<!\d){re.escape(job)}(?!\d)", text) is not None


def _whole_node() -> bool:
    """Whether no other job can be here: then a folder of the job's own is as good as the node's."""
    mine = Allocation.here().cpus_on_node
    return mine is not None and mine >= (os.cpu_count() or 1)


def mount_of(path: str, mountinfo: str) -> tuple[str, str]:
    """(type of the file system that holds a path, which of its folders is mounted), from the text of
    /proc/self/mountinfo (proc(5)). Pure.
    """
    best, kind, root = "", "", ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), before.split()[4])
        inside = f"{path.rstrip('/')}/".startswith(f"{point.rstrip('/')}/")
        if inside and len(point) >= len(best):
            best, kind, root = point, after.split()[0], before.split()[3]
    return kind, root
