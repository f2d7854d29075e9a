"""Site profiles: what is the same for every run on a cluster. `hpcurate doctor` writes one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.config_files import read_yaml
from hpcurate.errors import ConfigError
from hpcurate.fields import option, suggestion

KINDS = ("cpu", "gpu", "gate")


@attrs.define(frozen=True, kw_only=True)
class SiteProfile:
    """A cluster, as far as hpcurate must know it."""

    cluster: str | None = option(None, "name of the cluster, for you")
    partitions: dict[str, str] = attrs.field(
        factory=dict, metadata={"help": "partition of a kind of job: {cpu: short, gpu: gpu, gate: short}"}
    )
    account: str | None = option(None, "account to charge")
    qos: str | None = option(None, "quality of service")
    constraint: str | None = option(None, "constraint of every job")
    gres: str = option("gres=gpu:{n}", "how the site spells n GPUs: gres=gpu:a100:{n}, or gpus-per-node={n}")
    setup: list[str] = attrs.field(
        factory=list, metadata={"help": "shell lines before every worker and gate, e.g. [module load cuda]"}
    )
    node_local: list[str] = attrs.field(
        factory=list, metadata={"help": "folders on the nodes' own disks that outlive a job, e.g. [/scratch/$USER]"}
    )
    node_quota: str | None = option(None, "most that weights may take there, e.g. 500GB; default: what is free")
    store: str | None = option(None, "store of commands that name none")
    mail: str | None = option(None, "address that hears of the last stage's gate, and of gates that fail")
    nodes_see_store: bool | None = option(None, "whether compute nodes see the store; the probe job tells")
    nodes_may_submit: bool | None = option(
        None, "whether jobs may call sbatch; false: no gates, the call stays instead (wait=true)"
    )


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
            values = {**read_yaml(path), **values}
            where = f"site ({path})"
    return profile_of(values, where)


def profile_of(values: Mapping[str, Any], where: str) -> SiteProfile:
    """A checked profile. Raises ConfigError."""
    names = [f.name for f in attrs.fields(SiteProfile)]
    for key in values:
        if key not in names:
            raise ConfigError(f"{where}: {key}: there is no such key; {suggestion(str(key), names)}")
    try:
        profile = msgspec.convert({k: v for k, v in values.items() if v is not None}, SiteProfile)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    for kind in profile.partitions:
        if kind not in KINDS:
            raise ConfigError(f"{where}: partitions.{kind}: there is no such kind of job; {suggestion(kind, KINDS)}")
    if "{n}" not in profile.gres or "=" not in profile.gres:
        raise ConfigError(f"{where}: gres={profile.gres}: expected option=value with {{n}}, e.g. gres=gpu:a100:{{n}}")
    return profile


def site_store() -> str | None:
    """The store that the user's profile names; None where there is no profile, or none that can be read."""
    with suppress(ConfigError, OSError, ValueError):
        return load_site({"use": "auto"}).store
    return None


def to_yaml(profile: SiteProfile) -> str:
    """Only what differs from the defaults, each with its help."""
    import yaml

    lines = ["# Written by `hpcurate doctor`; change it as you like.", ""]
    for field in attrs.fields(SiteProfile):
        value = getattr(profile, field.name)
        default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type,union-attr]
        if value != default:
            lines.append(f"# {field.metadata['help']}")
            lines += yaml.safe_dump({field.name: value}, allow_unicode=False).splitlines()
    return "\n".join(lines) + "\n"
