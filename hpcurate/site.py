"""Site profiles: what is the same for every run on a cluster. `hpcurate doctor` writes one."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from hpcurate.config_files import conf_folders, names_in, read_yaml
from hpcurate.errors import ConfigError
from hpcurate.fields import check_given, check_keys, convert, defaults_of, full_key, option, suggestion
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


def user_file() -> Path:
    """Where the user's own profile lies."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "hpcurate", "site.yaml")


def load_site(plain: Mapping[str, Any] | None) -> SiteProfile:
    """The profile that the config key `site` means. `use: auto` begins with the user's file, if there is one.

    Raises ConfigError naming key and file.
    """
    values, where = dict(plain or {}), "site"
    if values.pop("use", None) == "auto":
        path = user_file()
        with suppress(FileNotFoundError):
            own = read_yaml(path)
            check_given(own, f"site ({path}): ")
            values = {**own, **values}
            where = f"site ({path}): "
    return profile_of(values, where)


def profile_of(values: Mapping[str, Any], where: str) -> SiteProfile:
    """A checked profile; keys that are null count as absent. Raises ConfigError."""
    profile = convert(SiteProfile, {key: value for key, value in values.items() if value is not None}, where)
    check_keys(profile.partitions, KINDS, full_key(where, "partitions"))
    return profile


def site_store(site: str | Mapping[str, Any] | None = None) -> tuple[Path, str | None]:
    """Where a profile lies, and the store that it names: the user's, one by its name, or the config key `site`.

    No store where the user's cannot be read. Raises ConfigError for a name that is none, and for one that is wrong.
    """
    path, profile = site_profile(site)
    return path, profile.store


def site_profile(site: str | Mapping[str, Any] | None = None) -> tuple[Path, SiteProfile]:
    """Where a profile lies, and what it says; see `site_store`."""
    if site in (None, "auto", {"use": "auto"}):
        with suppress(ConfigError, OSError, ValueError):
            return user_file(), load_site({"use": "auto"})
        return user_file(), SiteProfile()
    if isinstance(site, str):
        path = _file_of(site)
        return path, profile_of(read_yaml(path), f"site ({path}): ")
    return user_file(), load_site(site)


def _file_of(name: str) -> Path:
    folders = conf_folders()
    for path in (folder / "site" / f"{name}.yaml" for folder in folders):
        if path.is_file():
            return path
    raise ConfigError(f"site={name}: no such site profile; {suggestion(name, names_in(folders, 'site'))}")


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
