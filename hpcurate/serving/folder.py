"""The folder of a server in its store: what it was frozen from, and the folders of its requests."""

from __future__ import annotations

import os
import time

from hpcurate.store.access import keep_private
from hpcurate.store.layout import Store
from hpcurate.system.processes import nonce

__all__ = ["SERVING", "new_folder"]

SERVING = "serving"
"""Below the store."""


def new_folder(store: str, what: str) -> str:
    """Make one: its owner's alone, whoever has the store."""
    keep_private()
    above = os.path.join(Store.at(store).root, SERVING)
    os.makedirs(above, exist_ok=True)
    path = os.path.join(above, f"{what}-{time.strftime('%Y%m%d-%H%M%S')}-{nonce(2)}")
    os.mkdir(path, 0o700)
    return path
