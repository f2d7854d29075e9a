"""Which store a command uses."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.layout import refuse_remote
from hpcurate.store.mode import owner_of


def state_folder() -> Path:
    """What hpcurate remembers of this user: `~/.local/state/hpcurate`."""
    return Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "hpcurate")


def _last_store_file() -> Path:
    return state_folder() / "last_store"


def remember_store(store: str) -> None:
    """Make it the default of later calls."""
    with suppress(OSError):
        _last_store_file().parent.mkdir(parents=True, exist_ok=True)
        _last_store_file().write_bytes(os.fsencode(os.path.abspath(store)))


def refuse_unmounted(store: str) -> None:
    """Where the last run was started there was a store: an empty folder, the store's or one above it, is where it was
    mounted. Raises StoreError.
    """
    root = there = os.path.abspath(os.path.expanduser(store))
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    with suppress(OSError):
        if last_store() == root and not os.listdir(there):
            raise StoreError(
                f"store={store}: the last run was started there, and {there} is an empty folder now: is it mounted? If "
                f"you removed the store, type `rm {shlex.quote(str(_last_store_file()))}` first"
            )


def last_store() -> str | None:
    """The store of the run that was started last."""
    with suppress(OSError):
        return os.fsdecode(_last_store_file().read_bytes())
    return None


class StoreChoice(msgspec.Struct, frozen=True):
    """A store, and who chose it."""

    path: str
    by: str
    """In words; empty where the user named it in the command."""


def find_store(given: str | None, site: str | Mapping[str, Any] | None = None) -> str:
    """The store: as given, `HPCURATE_STORE`, the site profile's, or the last one used. Raises ConfigError."""
    return choose_store(given, site).path


def choose_store(given: str | None, site: str | Mapping[str, Any] | None = None) -> StoreChoice:
    """The same, with who chose it; `site` is a profile of conf/site, or the config key. Raises ConfigError."""
    choice = _choice(given, site)
    refuse_remote(choice.path)
    if os.path.isdir(choice.path) and not os.access(choice.path, os.R_OK | os.X_OK):
        raise ConfigError(
            f"store={choice.path}: is private to {owner_of(choice.path)}; name a store of yours, or one that was made "
            "with store_mode=group"
        )
    return choice


def _choice(given: str | None, site: str | Mapping[str, Any] | None) -> StoreChoice:
    if given:
        return StoreChoice(os.path.expanduser(given), "")
    if os.environ.get("HPCURATE_STORE"):
        return StoreChoice(os.environ["HPCURATE_STORE"], "HPCURATE_STORE")
    from hpcurate.site_files import site_store

    file, named = site_store(site)
    if named:
        return StoreChoice(os.path.expandvars(os.path.expanduser(named)), f"site profile {file}")
    if (last := last_store()) is not None:
        return StoreChoice(last, "of the last run started")
    raise ConfigError(
        "store: none given; add store=FOLDER, on shared storage (store=/scratch/me/curate), or set HPCURATE_STORE"
    )
