"""Site profiles: what is the same for every run on a cluster. `hpcurate doctor` writes one.

`site_files.py` finds and reads them: a gate has the one of its run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

from hpcurate.errors import ConfigError
from hpcurate.fields import check_keys, convert, defaults_of, full_key, option
from hpcurate.units import megabytes, minutes

KINDS = ("cpu", "gpu", "gate")
KEPT = ("runs", "trash")
"""What has a retention."""


def _check_gres(gres: str) -> None:
    if "{n}" not in gres or "=" not in gres:
        raise ConfigError("expected option=value with {n}, e.g. gres=gpu:a100:{n}")


def _check_retention(retention: Mapping[str, str]) -> None:
    check_keys(retention, KEPT)
    for time in retention.values():
        minutes(time)


@attrs.define(frozen=True, kw_only=True)
class SiteProfile:
    """A cluster, as far as hpcurate needs to know it."""

    cluster: str | None = option(None, "name of the cluster, for you")
    partitions: dict[str, str] = option(dict, "partition of a kind of job: {cpu: short, gpu: gpu, gate: short}")
    account: str | None = option(None, "account to charge")
    qos: str | None = option(None, "quality of service")
    constraint: str | None = option(None, "constraint of every job")
    gres: str = option(
        "gres=gpu:{n}", "how the site spells n GPUs: gres=gpu:a100:{n}, or gpus-per-node={n}", check=_check_gres
    )
    setup: list[str] = option(list, "shell lines before every worker and gate, e.g. [module load cuda]")
    node_local: list[str] = option(list, "folders on the nodes' own disks that outlive a job, e.g. [/scratch/$USER]")
    node_quota: str | None = option(
        None, "most that weights may take there, e.g. 500GB; default: what is free", check=megabytes
    )
    gpu_probe: bool = option(
        True, "whether a worker looks at its GPUs before it begins a stage that needs CUDA; false: for emulated ones"
    )
    binds: list[str] = option(
        list, "folders that every container sees, e.g. [/data, /scratch:/mnt/scratch:ro]; the key `binds` adds to them"
    )
    store: str | None = option(None, "store of commands that name none")
    retention: dict[str, str] = option(
        dict,
        "how long runs and what is in trash/ stay before `hpcurate clean` proposes to remove them, e.g. {runs: 90d, "
        "trash: 7d}; default: runs for ever, trash 7d",
        check=_check_retention,
    )
    metrics: str | None = option(
        None,
        "folder in which each run keeps a file of metrics, for the textfile collector of a Prometheus node exporter",
    )
    price_cpu_hour: float | None = option(None, "what an hour of a CPU costs, for hpcurate usage", minimum=0)
    price_gpu_hour: float | None = option(None, "what an hour of a GPU costs, for hpcurate usage", minimum=0)
    mail: str | None = option(None, "email address notified when the run ends, and when a gate fails")
    login: str | None = option(
        None,
        "login node as ssh reaches it from outside, e.g. login.cluster.edu, for the tunnel to a server on a compute "
        "node; default: the name of the host where you type",
    )
    nodes_see_store: bool | None = option(None, "whether compute nodes see the store; the probe job finds out")
    nodes_may_submit: bool | None = option(
        None, "whether jobs may call sbatch; false: no gates, the call stays instead (wait=true)"
    )

    def retention_s(self, what: str) -> float | None:
        """How long runs, or what is in the trash, stay, in seconds; None: for ever."""
        found = {"trash": "7d", **self.retention}.get(what)
        return minutes(found) * 60.0 if found else None

    def for_launcher(self, names: Collection[str]) -> dict[str, Any]:
        """What a launcher with these fields takes from the profile: all of it, or what concerns any machine."""
        quota = megabytes(self.node_quota) * 2**20 if self.node_quota else None
        taken = {"site": attrs.asdict(self), "node_local": self.node_local, "node_quota": quota}
        found = {name: value for name, value in taken.items() if name in names and value}
        return found if self.gpu_probe or "gpu_probe" not in names else {**found, "gpu_probe": False}


def profile_of(values: Mapping[str, Any], where: str) -> SiteProfile:
    """A checked profile; keys that are null count as absent. Raises ConfigError."""
    profile = convert(SiteProfile, {key: value for key, value in values.items() if value is not None}, where)
    check_keys(profile.partitions, KINDS, full_key(where, "partitions"))
    return profile


def to_yaml(profile: SiteProfile) -> str:
    """Only what differs from the defaults, each with its help."""
    import yaml

    lines = ["# Written by `hpcurate doctor`; change it as you like.", ""]
    defaults = defaults_of(SiteProfile)
    for field in attrs.fields(SiteProfile):
        value = getattr(profile, field.name)
        if value != defaults[field.name]:
            lines.append(f"# {field.metadata['help']}")
            lines += yaml.safe_dump({field.name: value}, allow_unicode=False).splitlines()
    return "\n".join(lines) + "\n"
