"""Counts what a program asks of Slurm: processes of its clients, and requests that the controller received.

The clients are counted by a folder of small scripts at the front of PATH, which jobs inherit: each writes a line and
becomes the real client. The requests are the controller's own counters (`sdiag`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

CLIENTS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "srun", "salloc", "sacctmgr", "sinfo", "sstat", "sprio")
OF_THE_CLUSTER = ("MESSAGE_NODE_REGISTRATION_STATUS", "REQUEST_PING", "REQUEST_STATS_INFO", "ACCOUNTING_")
"""Beginnings of requests that come by the clock or from us: nodes that report, accounting, and `sdiag` itself."""
WRAPPER = """#!/bin/sh
printf '%s\\t%s\\t%s\\n' {name} "$(tr '\\0' ' ' < /proc/$PPID/cmdline | cut -c 1-300)" "$*" >> {log}
SLURM_CONF="${{SLURM_CONF:-{conf}}}" exec {real} "$@"
"""
"""A program that keeps SLURM_CONF from its jobs finds the same Slurm all the same."""


@attrs.define(frozen=True)
class Call:
    """One process of a client."""

    client: str
    caller: str
    """Command line of its parent."""
    arguments: str

    @property
    def who(self) -> str:
        """Who asked: a gate, a worker, or the call that a person typed."""
        return next((who for module, who in MODULES.items() if module in self.caller), "call")


MODULES = {"hpcurate.runs.gate": "gate", "hpcurate.worker": "worker"}


@attrs.define(frozen=True)
class CountedClients:
    """A folder of wrappers, and the log that they write."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> CountedClients:
        """Wrappers of the clients that are in PATH."""
        folder.mkdir(parents=True)
        for name in CLIENTS:
            real = shutil.which(name)
            if real:
                script = folder / name
                log = shlex.quote(str(folder / "calls.log"))
                conf = os.environ.get("SLURM_CONF", "")
                script.write_text(WRAPPER.format(name=name, log=log, real=shlex.quote(real), conf=conf))
                script.chmod(0o755)
        return cls(folder)

    @property
    def path(self) -> str:
        """PATH with the wrappers at its front."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def calls(self) -> list[Call]:
        """Every call up to now, in order."""
        log = self.folder / "calls.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [Call(*line.split("\t", 2)) for line in lines if line.count("\t") >= 2]

    def by_caller(self) -> Counter[tuple[str, str]]:
        """(who, client) → how often it was called."""
        return Counter((call.who, call.client) for call in self.calls())


@contextmanager
def counted(folder: Path) -> Iterator[CountedClients]:
    """This process and all that it starts call the wrappers meanwhile."""
    clients, before = CountedClients.make(folder), os.environ["PATH"]
    os.environ["PATH"] = clients.path
    try:
        yield clients
    finally:
        os.environ["PATH"] = before


def reset_requests() -> None:
    """Let the controller count from zero. Needs the rights of an operator."""
    subprocess.run(["sdiag", "-r"], check=True, capture_output=True)


def requests() -> Counter[str]:
    """Requests that the controller received since then, by type; without those that come by the clock."""
    printed = subprocess.run(["sdiag"], check=True, capture_output=True, text=True).stdout
    return requests_in(printed)


def requests_in(printed: str) -> Counter[str]:
    """From `sdiag`. Pure."""
    types = printed.partition("by message type")[2].partition("Remote Procedure Call statistics by user")[0]
    found = re.findall(r"^\s*(\w+)\s*\(\s*\d+\)\s*count:(\d+)", types, re.MULTILINE)
    return Counter({name: int(count) for name, count in found if not name.startswith(OF_THE_CLUSTER)})
