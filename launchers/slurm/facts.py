"""What Slurm's clients print about the site, as values. Parsers are pure; `probe` asks."""

from __future__ import annotations

import getpass
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

from hpcurate.errors import LauncherError
from launchers.slurm.clients import ask
from launchers.slurm.preflight import PartitionFacts, SiteFacts

NODE_FORMAT = "%R|%c|%m|%G"
"""Partition, cores, MiB, generic resources of each node."""


def probe() -> SiteFacts:
    """Ask once. Raises LauncherError if there is no Slurm, or no answer."""
    if shutil.which("sbatch") is None:
        raise LauncherError("launcher=slurm: there is no sbatch in PATH; load the site's module, or use launcher=local")
    config = ask(["scontrol", "show", "config"])
    partitions = None if config is None else ask(["scontrol", "show", "partition", "-o"])
    nodes = None if partitions is None else ask(["sinfo", "-h", "-N", "-o", NODE_FORMAT])
    if config is None or partitions is None:
        raise LauncherError("launcher=slurm: the controller does not answer; try `scontrol ping`, then the same again")
    return read_facts(config, partitions, nodes or "")


def read_facts(config: str, partitions: str, nodes: str) -> SiteFacts:
    """From `scontrol show config`, `scontrol show partition -o`, `sinfo -h -N -o NODE_FORMAT`. Pure."""
    size = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
    rows = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in partitions.splitlines() if line.strip()]
    largest = largest_nodes(nodes)
    found = tuple(_partition(row, largest) for row in rows if "PartitionName" in row)
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
        memory_mb=memory,
        gpus=gpus,
        accounts=() if accounts == "ALL" else tuple(accounts.split(",")),
    )


def largest_nodes(nodes: str) -> dict[str, tuple[int, int, int]]:
    """Partition → most cores, MiB and GPUs that any one of its nodes has. Pure."""
    found: dict[str, tuple[int, int, int]] = {}
    for line in nodes.splitlines():
        name, cpus, memory, gres = line.split("|", 3)
        here = (int(cpus.rstrip("+")), int(memory.rstrip("+")), gpus_of(gres))
        a, b, c = zip(found.get(name, (0, 0, 0)), here)
        found[name] = (max(a), max(b), max(c))
    return found


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


# -- submit limits ----------------------------------------------------------------------------------


def submit_limit(account: str | None, qos: str | None) -> int | None:
    """Jobs, array elements and gates counted each, that this user may have queued; None: no limit is visible."""
    user = f"user={getpass.getuser()}"
    questions = (
        ("assoc", user, "format=Account,MaxSubmit,DefaultQOS,QOS"),
        ("qos", "format=Name,MaxSubmitPU"),
        ("user", user, "format=DefaultAccount"),
    )
    with ThreadPoolExecutor(len(questions)) as pool:  # the accounting's database takes its time for each
        answers = pool.map(lambda words: ask(["sacctmgr", "-n", "-P", "show", *words]) or "", questions)
        rows, quality, default = answers
    return read_submit_limit(rows, quality, account or default.strip() or None, qos)


def read_submit_limit(associations: str, qualities: str, account: str | None, qos: str | None) -> int | None:
    """From sacctmgr's associations of the user, and qualities of service. Pure.

    A job that names no quality of service gets the association's default, or the only one that it allows.
    """
    found: list[int] = []
    names = {qos} if qos else set()
    for line in associations.splitlines():
        own, most, default, allowed = [*line.split("|"), "", "", ""][:4]
        if account in (None, own):
            found += [int(most)] if most.isdigit() else []
            if not qos and (default or "," not in allowed):
                names.add(default or allowed)
    for line in qualities.splitlines():
        name, _, most = line.partition("|")
        if name in names and most.strip("|").isdigit():
            found.append(int(most.strip("|")))
    return min(found, default=None)


def accounts() -> list[str]:
    """Accounts that this user may charge; empty if nobody says."""
    answer = ask(["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=Account"])
    return sorted(set((answer or "").split()))


def own_jobs() -> int | None:
    """Jobs and elements of this user that are queued or run; None if the queue does not say."""
    answer = ask(["squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i"])
    return None if answer is None else len(answer.split())
