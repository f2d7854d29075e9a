"""Looking at the cluster once: what the controller reports, what a node sees, and the site profile that fits."""

from __future__ import annotations

import attrs
import msgspec

from hpcurate.errors import LauncherError
from hpcurate.runs.launcher import DiagnosisReport
from hpcurate.site import SiteProfile
from launchers.slurm.controller import Controller, look
from launchers.slurm.findings import findings
from launchers.slurm.probe_job import NodeReport, probe_node


class SlurmDiagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """See `Diagnosis`."""

    partition: str | None = None
    """Where the probe job runs; None: the site's default."""
    account: str | None = None

    def examine(self, store: str | None, *, known: SiteProfile, wait_s: float | None) -> DiagnosisReport:
        """See `Diagnosis`."""
        seen = look()
        node, trouble = (None, "") if wait_s is None else self._probe(store, wait_s)
        return DiagnosisReport(
            findings=tuple(findings(seen, node, store or "")),
            profile=profile_from(seen, node, store, known),
            trouble=trouble,
            ok=not trouble and (node is None or node.ok),
        )

    def _probe(self, store: str | None, wait_s: float) -> tuple[NodeReport | None, str]:
        """(report of the probe job, why there is none)."""
        if store is None:
            return None, "no probe job: name a folder on shared storage with --store, where it can write"
        options = {"partition": self.partition, "account": self.account}
        try:
            return probe_node(store, {key: value for key, value in options.items() if value}, wait_s), ""
        except LauncherError as error:
            return None, str(error)


def profile_from(seen: Controller, node: NodeReport | None, store: str | None, known: SiteProfile) -> SiteProfile:
    """The profile that fits; what a known one holds is kept. Pure."""
    complete = node is not None and node.complete
    return attrs.evolve(
        known,
        cluster=seen.cluster or known.cluster,
        partitions={**_partitions(seen), **known.partitions},
        node_local=known.node_local or (_own_disks(node, store) if node and complete else []),
        store=known.store or store,
        nodes_see_store=node.sees_store if node else known.nodes_see_store,
        nodes_may_submit=node.may_submit if node and complete else known.nodes_may_submit,
    )


def _partitions(seen: Controller) -> dict[str, str]:
    """The partition of each kind of job, where there is one."""
    up = [p for p in seen.facts.partitions if p.up]
    cpu = next((p.name for p in up if p.name == seen.facts.default), up[0].name if up else None)
    gpu = next((p.name for p in up if p.gpus), None)
    return {kind: name for kind, name in (("cpu", cpu), ("gpu", gpu)) if name}


def _own_disks(node: NodeReport, store: str | None) -> list[str]:
    """Folders on the node's own disk; not one that holds the store: it is seen from here, so it is shared."""
    disks = [disk.path for disk in node.disks if disk.local and disk.outlives]
    return [path for path in disks if not f"{store}/".startswith(f"{path.rstrip('/')}/")]
