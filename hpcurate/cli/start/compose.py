"""Hydra composes, we resolve and freeze: nothing is composed again on a compute node."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpcurate.config_files import conf_folders, names_in, shipped_conf
from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion

SECRET = re.compile(r"(?i)token|key|secret|passw|credential")
"""Environment variables whose values never reach a frozen configuration."""


def compose(overrides: Sequence[str], paths: dict[str, str], config_dirs: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration. Raises ConfigError for everything Hydra or OmegaConf refuses."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    folders = conf_folders(config_dirs)
    for folder in config_dirs:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir {folder!r}: no such folder")
    _check_pipeline(overrides, folders)
    more = ",".join(f"'file://{folder}'" for folder in folders if folder != shipped_conf())
    search = [f"hydra.searchpath=[{more}]"] if more else []
    try:
        with initialize_config_dir(config_dir=str(shipped_conf()), version_base="1.3"):
            config = hydra_compose(config_name="config", overrides=[*search, *overrides])
        OmegaConf.set_struct(config, False)
        for key, value in paths.items():
            config[key] = value.replace("${", "\\${")
        OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
        plain = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_readable(str(error), overrides)) from None
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _environment(name: str, default: Any = "\0") -> Any:
    """`${oc.env:NAME}`, but secret-looking names stay symbolic and are read where the stage runs."""
    import os

    if SECRET.search(name):
        return f"${{oc.env:{name}}}" if default == "\0" else f"${{oc.env:{name},{default}}}"
    if name in os.environ:
        return os.environ[name]
    if default == "\0":
        raise KeyError(f"environment variable {name} is not set")
    return default


def _check_pipeline(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    names = names_in(folders, "pipeline")
    for override in overrides:
        key, _, value = override.partition("=")
        if key.lstrip("+") == "pipeline" and value not in names:
            raise ConfigError(f"pipeline={value}: no such pipeline; {suggestion(value, names)}")


def _readable(message: str, overrides: Sequence[str]) -> str:
    """Hydra's message without its advice to add `+`, which is wrong for a misspelt key."""
    from hpcurate.cli.start.settings import Settings, names_of

    missing = re.search(r"Could not override '([^']+)'", message)
    if missing:
        return f"{missing[1]}: there is no such key; {suggestion(missing[1], names_of(Settings))}"
    choice = re.search(r"Could not find '([^'/]+)/([^']+)'", message)
    if choice:
        return f"{choice[1]}={choice[2]}: no such choice; {suggestion(choice[2], names_in(conf_folders(), choice[1]))}"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def dump(plain: dict[str, Any]) -> str:
    """The resolved configuration as YAML."""
    import yaml

    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False))
