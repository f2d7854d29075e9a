"""What Slurm's clients print about the site, as values. Parsers are pure; `probe` asks."""

from __future__ import annotations

import os
import re
from collections import Counter

import msgspec

from hpcurate.errors import LauncherError
from launchers.slurm.clients import CONFIG, ask_once, missing_clients

NODE_FORMAT = "%R|%c|%m|%G|%t"
"""Partition, cores, MiB, generic resources and state of each node."""
GONE = ("boot", "down", "drain", "drng", "err", "fail", "futr", "maint", "unk")
"""Beginnings of the states of a node that starts no jobs (sinfo(1), NODE STATE CODES)."""


class PartitionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One partition, as the controller describes it."""

    name: str
    max_minutes: int | None = None
    """None: no limit."""
    up: bool = True
    preempt_mode: str = "OFF"
    """What becomes of its jobs when others need the nodes: OFF, REQUEUE, CANCEL, SUSPEND."""
    cpus: int = 0
    """Of its largest node; 0: unknown."""
    nodes: int = 0
    """How many take jobs."""
    memory_mb: int = 0
    gpus: int = 0
    accounts: tuple[str, ...] = ()
    """Accounts that may use it; empty: all."""


class SiteFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller reports about the site."""

    max_array: int = 1001
    """Elements of one array: `MaxArraySize` caps the index."""
    partitions: tuple[PartitionFacts, ...] = ()
    default: str | None = None

    @property
    def names(self) -> list[str]:
        """Partitions by name."""
        return [partition.name for partition in self.partitions]

    def named(self, name: str) -> PartitionFacts | None:
        """A partition, if there is one of that name."""
        return next((p for p in self.partitions if p.name == name), None)


def probe(*, nodes: bool = True) -> SiteFacts:
    """What the site answers, asked for once in a process. Raises LauncherError if there is no Slurm, or no answer.

    Without `nodes` it is not known what they have, only partitions and limits: all that a gate needs.
    """
    missing = missing_clients()
    if missing:
        raise LauncherError(
            f"launcher=slurm: {os.uname().nodename} has no {', '.join(missing)} in PATH; load the site's Slurm (often "
            "`module load slurm`), type this on a login node, or type launcher=local to work on this machine alone"
        )
    config = ask_once(*CONFIG)
    partitions = None if config is None else ask_once("scontrol", "show", "partition", "-o")
    if config is None or partitions is None:
        raise LauncherError("launcher=slurm: the controller does not answer; try `scontrol ping`, then the same again")
    there = ask_once("sinfo", "-h", "-N", "-o", NODE_FORMAT) if nodes else None
    return read_facts(config, partitions, there or "")


def read_facts(config: str, partitions: str, nodes: str) -> SiteFacts:
    """From `scontrol show config`, `scontrol show partition -o`, `sinfo -h -N -o NODE_FORMAT`. Pure."""
    size = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
    rows = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in partitions.splitlines() if line.strip()]
    largest, there = largest_nodes(nodes), usable_nodes(nodes)
    known = [_partition(row, largest) for row in rows if "PartitionName" in row]
    found = tuple(msgspec.structs.replace(partition, nodes=there[partition.name]) for partition in known)
    default = next((row["PartitionName"] for row in rows if row.get("Default") == "YES"), None)
    return SiteFacts(max_array=int(size[1]) if size else 1001, partitions=found, default=default)


def _partition(row: dict[str, str], largest: dict[str, tuple[int, int, int]]) -> PartitionFacts:
    name = row["PartitionName"]
    cpus, memory, gpus = largest.get(name, (0, 0, 0))
    accounts = row.get("AllowAccounts", "ALL")
    return PartitionFacts(
        name=name,
        max_minutes=slurm_minutes(row.get("MaxTime", "UNLIMITED")),
        up=row.get("State", "UP") == "UP",
        preempt_mode=row.get("PreemptMode", "OFF"),
        cpus=cpus,
        memory_mb=min(memory, _most_mb(row) or memory),
        gpus=gpus,
        accounts=() if accounts == "ALL" else tuple(accounts.split(",")),
    )


def _most_mb(row: dict[str, str]) -> int:
    """What a job may have of a node; 0: all."""
    most = row.get("MaxMemPerNode", "")
    return int(most) if most.isdigit() else 0


def largest_nodes(nodes: str) -> dict[str, tuple[int, int, int]]:
    """Partition → most cores, MiB and GPUs that any one of its nodes has. Pure."""
    found: dict[str, tuple[int, int, int]] = {}
    for line in nodes.splitlines():
        name, cpus, memory, gres, *_ = line.split("|")
        here = (int(cpus.rstrip("+")), int(memory.rstrip("+")), gpus_of(gres))
        a, b, c = zip(found.get(name, (0, 0, 0)), here)
        found[name] = (max(a), max(b), max(c))
    return found


def usable_nodes(nodes: str) -> Counter[str]:
    """Partition → how many of its nodes take jobs. Pure."""
    rows = [line.split("|") for line in nodes.splitlines()]
    return Counter(name for name, *_, state in rows if not state.startswith(GONE))


def gpus_of(gres: str) -> int:
    """`gpu:a100:4(S:0-1),gpu:2` → 6. Pure."""
    plain = re.sub(r"\([^)]*\)", "", gres)
    return sum(int(m[1] or 1) for m in re.finditer(r"(?:^|,)gpu(?::[A-Za-z][^:,]*)?(?::(\d+))?", plain))


def slurm_minutes(text: str) -> int | None:
    """`2-03:04:05`, `01:30:00`, `30:00` → whole minutes, rounded down; None for UNLIMITED. Pure."""
    if text in ("UNLIMITED", "INFINITE", "NONE", ""):
        return None
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, mins, seconds = ([0] * (3 - len(parts)) + parts) if len(parts) > 1 else (0, parts[0], 0)
    return (int(days or 0) * 24 + hours) * 60 + mins + seconds // 60
