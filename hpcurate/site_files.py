"""Where site profiles lie: the user's own, and those of the conf folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcurate.config_files import conf_folders, names_in, read_yaml
from hpcurate.errors import ConfigError
from hpcurate.fields import check_given, suggestion
from hpcurate.site import SiteProfile, profile_of

__all__ = ["load_site", "site_profile", "site_store", "user_file"]


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
