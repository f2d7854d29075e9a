"""Processes by pid and start time: a pid by itself may now belong to another process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .folder import Folder


@dataclass(frozen=True)
class Process:
    """A process that cannot be confused with a later one of the same pid."""

    name: str
    pid: int
    start: int  # clock ticks since boot, field 22 of /proc/PID/stat

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return start_time(self.pid) == self.start


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def spawn(folder: Folder, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
    """Start a daemon that outlives us, its output in the folder.

    The child records itself before it becomes the daemon, so that there is never a daemon that
    `down` does not know of, whenever `up` is killed.
    """
    record = folder.pids / name

    def record_itself() -> None:
        record.write_text(f"{os.getpid()} {start_time(os.getpid())}\n")

    with folder.output(name).open("ab") as output:
        subprocess.Popen(
            argv,
            cwd=folder.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=record_itself,
        )
    return _read_record(record)


def recorded(folder: Folder) -> list[Process]:
    """Every daemon that this folder's `up` started, alive or not, in the order they started."""
    records = sorted(folder.pids.glob("*"), key=lambda path: path.stat().st_mtime_ns)
    return [_read_record(path) for path in records if path.stat().st_size]


def _read_record(path: Path) -> Process:
    pid, start = path.read_text().split()
    return Process(path.name, int(pid), int(start))


def left_behind(folder: Folder) -> list[Process]:
    """What daemons of this folder started in their turn: job steps, and what jobs run.

    What a job runs has our `SLURM_CONF` and the node's name in its environment, even where it left
    the job's process tree, which Slurm without cgroups loses sight of. A step's own process has
    overwritten its environment to change its title, but its folder is still the one in which
    `spawn` started its slurmd. A user's shell that uses this Slurm, or is in its folder, is neither.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        start = start_time(int(entry.name))
        try:
            if start is not None and (_is_step(folder, entry) or _is_in_job(folder, entry)):
                found.append(Process("job", int(entry.name), start))
        except OSError:
            continue  # it ended meanwhile
    return found


def _is_step(folder: Folder, entry: Path) -> bool:
    executable = os.path.basename(os.readlink(entry / "exe"))
    return executable.startswith("slurmstepd") and os.readlink(entry / "cwd") == str(folder.root)


def _is_in_job(folder: Folder, entry: Path) -> bool:
    variables = (entry / "environ").read_bytes().split(b"\0")
    ours = f"SLURM_CONF={folder.slurm_conf}".encode() in variables
    return ours and any(variable.startswith(b"SLURMD_NODENAME=") for variable in variables)


def stop(processes: Iterable[Process], patience_s: float) -> None:
    """Ask processes to end, insist after `patience_s`, and return when none is left."""
    processes = list(processes)
    _signal(processes, signal.SIGTERM)
    if not wait_for(lambda: not any(process.alive() for process in processes), patience_s):
        _signal(processes, signal.SIGKILL)
        wait_for(lambda: not any(process.alive() for process in processes), 10)


def _signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def wait_for(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until the condition holds; False when it did not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
