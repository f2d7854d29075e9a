"""The processes of a run, by what they are; Linux."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import attrs

WORKER, GATE = "hpcurate.worker", "hpcurate.runs.gate"
IN_WORKER = ("supervisor", "keeper", "stage process")
"""What forks what."""


@attrs.define(frozen=True)
class Process:
    """One that was seen."""

    pid: int
    start: str
    """Clock ticks since boot: a pid by itself may now be another's."""
    above: int
    words: tuple[str, ...]
    """Of its command line."""

    def kill(self) -> bool:
        """Unless it is gone."""
        now = _read(self.pid)
        if now is None or now.start != self.start:
            return False
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def variable(self, name: str) -> str:
        """Of its environment; empty if it is not there."""
        try:
            found = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return ""
        return next((v.decode().partition("=")[2] for v in found if v.startswith(f"{name}=".encode())), "")


def seen() -> dict[int, Process]:
    """All of the machine, but for those that have ended."""
    found = (_read(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return {process.pid: process for process in found if process is not None}


def _read(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return Process(pid, fields[19], int(fields[1]), tuple(words)) if fields[0] not in "ZX" and words else None


def by_kind(known: dict[int, Process], store: Path, slurm: Path) -> dict[str, list[Process]]:
    """Those of the run in this store, whose jobs this Slurm runs."""
    found: dict[str, list[Process]] = {}
    for process in known.values():
        if kind := _kind(known, process, f"{store}/", f"{slurm}/spool"):
            found.setdefault(kind, []).append(process)
    return found


def _kind(known: dict[int, Process], process: Process, store: str, spool: str) -> str:
    words, above = process.words, known.get(process.above)
    if _begins(words, store) and GATE in words:
        return "gate"
    if f"store={store[:-1]}" in words or (store[:-1] in words and words[1].endswith("/typed.py")):
        return "driver"
    if _is_worker(process, store):
        return IN_WORKER[min(_workers_above(known, process, store), 2)]
    if words[0] == "sh" and words[-1].startswith("shouting ") and above and _is_worker(above, store):
        return "helper"
    return "script" if _begins(words, spool) and words[-1].endswith("slurm_script") else ""


def _begins(words: Iterable[str], with_: str) -> bool:
    return any(word.startswith(with_) for word in words)


def _is_worker(process: Process, store: str) -> bool:
    return WORKER in process.words and _begins(process.words, store)


def _workers_above(known: dict[int, Process], process: Process, store: str) -> int:
    above = known.get(process.above)
    return 1 + _workers_above(known, above, store) if above and _is_worker(above, store) else 0
