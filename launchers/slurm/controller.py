"""What the controller reports about the cluster, for the doctor. `read_controller` is pure; `look` asks."""

from __future__ import annotations

import re

import msgspec

from launchers.slurm.clients import CONFIG, ask, ask_once
from launchers.slurm.facts import SiteFacts, probe
from launchers.slurm.limits import submit_limit


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller reports."""

    cluster: str = ""
    version: str = ""
    accounting: bool = False
    default_memory: str = ""
    """Of a job that asks for none: MiB, or UNLIMITED."""
    facts: SiteFacts = SiteFacts()
    submit_limit: int | None = None


def look() -> Controller:
    """Ask the controller. Raises LauncherError where it does not answer."""
    facts = probe()
    config = ask_once(*CONFIG) or ""
    accounting = ask(["sacctmgr", "-n", "show", "cluster"]) is not None
    return read_controller(config, facts, submit_limit(None, None), accounting)


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
