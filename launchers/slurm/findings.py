"""What the doctor found, each fact with what it means for the user. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hpcurate.runs.launcher import Finding
from launchers.slurm.controller import Controller
from launchers.slurm.facts import PartitionFacts
from launchers.slurm.probe_job import Disk, NodeReport


def findings(seen: Controller, node: NodeReport | None, store: str) -> Iterator[Finding]:
    """All of them; `node` is None where there was no probe job."""
    yield Finding("Slurm", f"{seen.version}, cluster {seen.cluster}", "")
    for partition in seen.facts.partitions:
        yield Finding("partition", _size(partition, seen.facts.default), "" if partition.up else "it takes no jobs now")
    yield Finding("MaxArraySize", str(seen.facts.max_array), "longer arrays are split automatically")
    yield from _limits(seen)
    if node is not None:
        yield from _of_node(node, store)


def _limits(seen: Controller) -> Iterator[Finding]:
    limit = "none visible" if seen.submit_limit is None else str(seen.submit_limit)
    yield Finding("submit limit", limit, "workers are fewer where it leaves no room" if seen.submit_limit else "")
    needless = "hpcurate does not need it; sacct will not show past jobs"
    yield Finding("accounting", "yes" if seen.accounting else "no", "" if seen.accounting else needless)
    preempted = [f"{p.name} ({p.preempt_mode})" for p in seen.facts.partitions if p.preempt_mode != "OFF"]
    requeue = "a preempted worker starts again, and loses one shard's work at most" if preempted else ""
    yield Finding("preemption", ", ".join(preempted) or "none", requeue)
    none = seen.default_memory == "UNLIMITED"
    yield Finding("default memory", seen.default_memory, "every job of hpcurate sets --mem" if none else "")


def _size(partition: PartitionFacts, default: str | None) -> str:
    limit = "no time limit" if partition.max_minutes is None else f"{partition.max_minutes} min"
    size = f"{partition.cpus} cores, {partition.memory_mb / 1024:.0f} GB"
    gpus = f", {partition.gpus} GPUs" if partition.gpus else ""
    return f"{partition.name}{' (default)' * (partition.name == default)}: {limit}; largest node {size}{gpus}"


def _of_node(node: NodeReport, store: str) -> Iterator[Finding]:
    if not node.complete:
        yield Finding("probe job", "no report arrived", f"compute nodes do not see {store}; name a store that they do")
        return
    yield Finding("probe job", f"ran on {node.node}, Python {node.python or 'did not start'}", "")
    seen = "yes" if node.sees_store else "no"
    yield Finding("nodes see the store", seen, "" if node.sees_store else f"{store} is not shared; name another")
    submit = "yes" if node.may_submit else f"no: {node.refusal}"
    meaning = "gates move runs on" if node.may_submit else "there are no gates; the call stays and submits"
    yield Finding("jobs may submit", submit, meaning)
    for disk in node.disks:
        yield Finding("disk", _of_disk(disk), "")


def _of_disk(disk: Disk) -> str:
    kind = "a disk of its own" if disk.local else f"{disk.type}, not a disk of its own"
    kept = {True: "outlives a job", False: "private to a job", None: "not tried"}[disk.outlives]
    return f"{disk.path}: {disk.free_mb / 1024:.0f} GB free, {kind}, {kept}"
