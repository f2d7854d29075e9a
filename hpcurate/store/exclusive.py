"""One process at a time on something in the store that takes long: fetching a model, building an environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hpcurate.errors import StoreError
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.system.processes import ProcessIdentity


@contextmanager
def alone(path: str, doing: str) -> Iterator[None]:
    """Hold the file at `path`, which says who does it; one whose process is gone is taken over.

    Raises StoreError while somebody else does it.
    """
    filesystem = PosixFilesystem()
    me = json.dumps(ProcessIdentity.mine().to_json()).encode()
    while not filesystem.create(path, me):
        owner = None
        with suppress(OSError, ValueError, KeyError, TypeError):
            owner = ProcessIdentity.from_json(json.loads(filesystem.read(path)))
        if owner is None or owner.alive() is False:
            with suppress(OSError):
                os.unlink(path)
            continue
        raise StoreError(
            f"{path}: somebody is {doing} this now (process {owner.pid} on {owner.host.split()[0]}); "
            "wait for it, or delete that file if that process is gone"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)
