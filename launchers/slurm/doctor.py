"""What the cluster is like: facts asked of Slurm's clients and one probe job, explained, and made a site profile."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import attrs

from hpcurate.site import SiteProfile
from launchers.slurm.clients import ask
from launchers.slurm.facts import probe, submit_limit
from launchers.slurm.preflight import PartitionFacts, SiteFacts
from launchers.slurm.probe_job import NodeReport


@attrs.define(frozen=True, kw_only=True)
class Controller:
    """What the controller says."""

    cluster: str = ""
    version: str = ""
    accounting: bool = False
    default_memory: str = ""
    facts: SiteFacts = SiteFacts()
    submit_limit: int | None = None


@attrs.define(frozen=True)
class Finding:
    """A fact and what it means for you."""

    what: str
    value: str
    meaning: str


def has_client() -> bool:
    """Whether there is a Slurm to look at."""
    return shutil.which("sbatch") is not None


def look() -> Controller:
    """Ask the controller. Raises LauncherError where it does not answer."""
    facts = probe()
    config = ask(["scontrol", "show", "config"]) or ""
    return read_controller(
        config, facts, submit_limit(None, None), ask(["sacctmgr", "-n", "show", "cluster"]) is not None
    )


def read_controller(config: str, facts: SiteFacts, limit: int | None, accounting: bool) -> Controller:
    """From `scontrol show config`. Pure."""
    values = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", config, re.MULTILINE))
    return Controller(
        cluster=values.get("ClusterName", ""),
        version=values.get("SLURM_VERSION", ""),
        accounting=accounting and "none" not in values.get("AccountingStorageType", "none"),
        default_memory=values.get("DefMemPerNode") or values.get("DefMemPerCPU") or "UNLIMITED",
        facts=facts,
        submit_limit=limit,
    )


def findings(seen: Controller, node: NodeReport | None, store: str) -> Iterator[Finding]:
    """All that was found, in words. Pure."""
    yield Finding("Slurm", f"{seen.version}, cluster {seen.cluster}", "")
    for partition in seen.facts.partitions:
        yield Finding("partition", _told(partition, seen.facts.default), "" if partition.up else "it takes no jobs now")
    yield Finding("MaxArraySize", str(seen.facts.max_array), "longer arrays are split by themselves")
    limit = "none that is visible" if seen.submit_limit is None else str(seen.submit_limit)
    yield Finding("submit limit", limit, "workers are fewer where it leaves no room" if seen.submit_limit else "")
    yield Finding(
        "accounting", "yes" if seen.accounting else "no",
        "" if seen.accounting else "nothing here needs it; sacct will not show past jobs",
    )  # fmt: skip
    preempted = [f"{p.name} ({p.preempt_mode})" for p in seen.facts.partitions if p.preempt_mode != "OFF"]
    requeue = "a preempted worker starts again, and loses one shard's work at most" if preempted else ""
    yield Finding("preemption", ", ".join(preempted) or "none", requeue)
    none = seen.default_memory == "UNLIMITED"
    yield Finding("default memory", seen.default_memory, "every job of hpcurate says --mem" if none else "")
    if node is not None:
        yield from _node_findings(node, store)


def _told(partition: PartitionFacts, default: str | None) -> str:
    limit = "no time limit" if partition.max_minutes is None else f"{partition.max_minutes} min"
    size = f"{partition.cpus} cores, {partition.memory_mb / 1024:.0f} GB"
    gpus = f", {partition.gpus} GPUs" if partition.gpus else ""
    return f"{partition.name}{' (default)' * (partition.name == default)}: {limit}; largest node {size}{gpus}"


def _node_findings(node: NodeReport, store: str) -> Iterator[Finding]:
    if not node.complete:
        yield Finding("probe job", "no report arrived", f"compute nodes do not see {store}; name a store that they do")
        return
    yield Finding("probe job", f"ran on {node.node}, Python {node.python or 'did not start'}", "")
    seen = "yes" if node.sees_store else "no"
    yield Finding("nodes see the store", seen, "" if node.sees_store else f"{store} is not shared; name another")
    submit = "yes" if node.may_submit else f"no: {node.refusal}"
    yield Finding(
        "jobs may submit", submit, "gates move runs on" if node.may_submit else "the call stays instead of gates"
    )
    for disk in node.disks:
        kept = {True: "outlives a job", False: "private to a job", None: "not tried"}[disk.outlives]
        kind = "a disk of its own" if disk.local else f"{disk.type}, not a disk of its own"
        yield Finding("disk", f"{disk.path}: {disk.free_mb / 1024:.0f} GB free, {kind}, {kept}", "")


def profile_from(seen: Controller, node: NodeReport | None, store: str | None, old: SiteProfile) -> SiteProfile:
    """The profile that fits; what an older one says by hand stays. Pure."""
    up = [p for p in seen.facts.partitions if p.up]
    cpu = next((p.name for p in up if p.name == seen.facts.default), up[0].name if up else None)
    gpu = next((p.name for p in up if p.gpus), None)
    partitions = {kind: name for kind, name in (("cpu", cpu), ("gpu", gpu)) if name}
    complete = node is not None and node.complete
    disks = [d.path for d in node.disks if d.local and d.outlives] if node and complete else []
    disks = [path for path in disks if not f"{store}/".startswith(f"{path.rstrip('/')}/")]  # seen from here, so shared
    return attrs.evolve(
        old,
        cluster=seen.cluster or old.cluster,
        partitions={**partitions, **old.partitions},
        node_local=old.node_local or disks,
        store=old.store or store,
        nodes_see_store=node.sees_store if node else old.nodes_see_store,
        nodes_may_submit=node.may_submit if node and complete else old.nodes_may_submit,
    )
