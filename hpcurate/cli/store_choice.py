"""Which store a command means."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hpcurate.errors import ConfigError


def _memory() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state, "hpcurate", "last_store")


def remember_store(store: str) -> None:
    """Let later calls do without `store=`."""
    with suppress(OSError):
        _memory().parent.mkdir(parents=True, exist_ok=True)
        _memory().write_bytes(os.fsencode(os.path.abspath(store)))


def find_store(given: str | None) -> str:
    """The store: as given, `HPCURATE_STORE`, the site profile's, or the last one used. Raises ConfigError."""
    if given:
        return os.path.expanduser(given)
    if os.environ.get("HPCURATE_STORE"):
        return os.environ["HPCURATE_STORE"]
    from hpcurate.site import site_store

    named = site_store()
    if named:
        return os.path.expandvars(os.path.expanduser(named))
    with suppress(OSError):
        return os.fsdecode(_memory().read_bytes())
    raise ConfigError("store: name a folder on shared storage, store=/scratch/me/curate, or set HPCURATE_STORE")
