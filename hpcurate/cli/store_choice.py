"""Which store a command uses."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from hpcurate.errors import ConfigError, StoreError
from hpcurate.store.mode import owner_of


def _last_store_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state, "hpcurate", "last_store")


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


def find_store(given: str | None) -> str:
    """The store: as given, `HPCURATE_STORE`, the site profile's, or the last one used. Raises ConfigError."""
    store = _named(given)
    if os.path.isdir(store) and not os.access(store, os.R_OK | os.X_OK):
        raise ConfigError(
            f"store={store}: is private to {owner_of(store)}; name a store of yours, or one that was made with "
            "store_mode=group"
        )
    return store


def _named(given: str | None) -> str:
    if given:
        return os.path.expanduser(given)
    if os.environ.get("HPCURATE_STORE"):
        return os.environ["HPCURATE_STORE"]
    from hpcurate.site import site_store

    named = site_store()
    if named:
        return os.path.expandvars(os.path.expanduser(named))
    if (last := last_store()) is not None:
        return last
    raise ConfigError(
        "store: none given; add store=FOLDER, on shared storage (store=/scratch/me/curate), or set HPCURATE_STORE"
    )
