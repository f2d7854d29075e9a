"""Folders on the node's own disk that belong to one process: what a killed one has left there, the next one removes.

Python 3.9.
"""

from __future__ import annotations

import hashlib
import os
import tempfile

from hpcurate.system.folders import remove_folder
from hpcurate.system.processes import start_time, this_host

__all__ = ["own_scratch"]


def own_scratch(above: str) -> str:
    """A new empty folder of this process below `above`, which is made if missing."""
    os.makedirs(above, mode=0o700, exist_ok=True)
    _remove_left(above)
    return tempfile.mkdtemp(prefix=f"{_host()}-{os.getpid()}-{start_time(os.getpid())}-", dir=above)


def _host() -> str:
    """Names machine and pid namespace: pids mean the same only there."""
    return hashlib.sha256(this_host().encode()).hexdigest()[:12]


def _remove_left(above: str) -> None:
    """Of processes of this machine that are gone."""
    for name in os.listdir(above):
        host, _, process = name.partition("-")
        pid, start, *_ = [*process.split("-"), "", ""]
        if host == _host() and pid.isdigit() and str(start_time(int(pid))) != start:
            remove_folder(os.path.join(above, name))
