"""Preflight: what the site would refuse, or never start, is refused before anything is submitted. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hpcurate.fields import suggestion
from hpcurate.units import megabytes, minutes
from launchers.slurm.facts import SiteFacts

OURS = ("array", "clusters", "job-name", "output", "parsable", "test-only", "wait", "wrap")
"""sbatch options that jobs are found and watched by."""
UNPRINTED = re.compile(r"[\x00-\x1f\x7f]")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What one job of a stage asks for."""

    partition: str | None
    minutes: int
    cpus: int
    memory_mb: int
    gpus: int
    account: str | None = None


def problems(stages: Mapping[str, Asked], facts: SiteFacts) -> list[str]:
    """What would be refused, a line each, with the key and the fix. Of several partitions one must do."""
    found: list[str] = []
    for stage, asked in stages.items():
        names = asked.partition.split(",") if asked.partition else [facts.default] if facts.default else []
        if not names:
            found.append(f"launcher.partition: the site has no default; {suggestion('', facts.names)}")
            return found
        of_each = [_problem(stage, asked, name, facts) for name in names]
        found += [str(of_each[0])] if all(of_each) else []
    return found


def option_problems(jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """sbatch options that a user cannot set: ours, and those that would not stay on their line of the script."""
    found = []
    for where, options in jobs.items():
        for key, value in options.items():
            if key in OURS:
                found.append(f"{where}: sbatch option {key}={value}: hpcurate sets it itself; leave it out")
            elif UNPRINTED.search(f"{key}{value}"):
                found.append(f"{where}: sbatch option {key}={value!a}: holds a line break or another control character")
    return found


def gate_problems(gate: Mapping[str, Any], facts: SiteFacts) -> list[str]:
    """A partition of gates that does not exist."""
    partition = str(gate.get("partition") or "")
    if all(name in facts.names for name in partition.split(",") if partition):
        return []
    there = ", ".join(facts.names)
    return [f"launcher.gate.partition={partition}: there is no such partition; there are: {there}"]


def _problem(stage: str, asked: Asked, name: str, facts: SiteFacts) -> str | None:
    where = f"stages.{stage}.resources"
    partition = facts.named(name)
    if partition is None:
        return f"stages.{stage}: partition {name}: there is no such partition; {suggestion(name, facts.names)}"
    if not partition.up:
        return f"stages.{stage}: partition {name} is not up; {_others(facts, name)}"
    if partition.accounts and asked.account and asked.account not in partition.accounts:
        return (
            f"stages.{stage}: partition {name} takes the accounts {', '.join(partition.accounts)}, not {asked.account}"
        )
    if partition.max_minutes is not None and asked.minutes > partition.max_minutes:
        return (
            f"{where}.time={asked.minutes} min: partition {name} allows {partition.max_minutes} min; "
            f"set {where}.time={partition.max_minutes}m, or another partition"
        )
    for key, wanted, most, unit in (
        ("cpus", asked.cpus, partition.cpus, "cores"),
        ("memory", asked.memory_mb, partition.memory_mb, "MB"),
        ("gpus", asked.gpus, partition.gpus if partition.cpus else None, "GPUs"),
    ):
        if most is not None and (most or key == "gpus") and wanted > most:
            return (
                f"{where}.{key}: one worker asks for {wanted} {unit}, the largest node of partition {name} has {most}; "
                f"lower it (or stages.{stage}.processes, .workers_per_node), or choose another partition"
            )
    return None


def _others(facts: SiteFacts, name: str) -> str:
    up = [p.name for p in facts.partitions if p.up and p.name != name]
    return f"these are: {', '.join(up) or 'none'}"


def asked_of(options: Mapping[str, Any]) -> Asked:
    """What a stage's sbatch options ask for, its own spelling of them included."""
    return Asked(
        partition=options.get("partition"),
        minutes=minutes(str(options["time"])) if not isinstance(options["time"], int) else options["time"],
        cpus=int(options["cpus-per-task"]),
        memory_mb=megabytes(str(options["mem"])) if "mem" in options else 0,
        gpus=_gpus(options),
        account=options.get("account"),
    )


def _gpus(options: Mapping[str, Any]) -> int:
    for key in ("gres", "gpus-per-node", "gpus"):
        last = str(options.get(key, "")).rpartition(":")[2]
        if last.isdigit():
            return int(last)
    return 0


def store_problem(
    store: str, node_local: Sequence[str], nodes_see_store: bool | None, known: str | None, what: str = "store="
) -> str | None:
    """Why no compute node would find the store, or sbatch could not name it, or nothing. Pure."""
    if "\\" in store or UNPRINTED.search(store):
        return (
            f"{what}{store!a}: a path with a backslash, a line break or another control character cannot be written "
            "into an sbatch script; name another folder"
        )
    local = next((f for f in node_local if f and f"{store}/".startswith(f"{f.rstrip('/')}/")), None)
    if local:
        return f"{what}{store}: lies in {local}, which is each node's own disk; name a folder on shared storage"
    if nodes_see_store is False and known is not None and f"{store}/".startswith(f"{known.rstrip('/')}/"):
        return f"{what}{store}: the doctor's probe job did not see it; name a folder on shared storage"
    return None
