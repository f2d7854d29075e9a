"""One process at a time on something in the store that takes long: fetching a model, building an environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import attrs
import msgspec

from hpcurate.errors import StoreError
from hpcurate.store.filesystem import POSIX
from hpcurate.system.processes import ProcessIdentity, SystemProcesses


@contextmanager
def exclusive(path: str, doing: str) -> Iterator[None]:
    """Hold the file at `path`, which names who holds it; one whose process is gone is taken over.

    Raises StoreError while somebody else does it.
    """
    filesystem, processes = POSIX, SystemProcesses()
    me = json.dumps(attrs.asdict(processes.mine())).encode()
    while not filesystem.create(path, me):
        owner = None
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            owner = msgspec.json.decode(filesystem.read(path), type=ProcessIdentity)
        if owner is None or processes.alive(owner) is False:
            with suppress(OSError):
                os.unlink(path)
            continue
        raise StoreError(
            f"{path}: another process is {doing} this now (process {owner.pid} on {owner.host.split()[0]}); "
            "wait for it, or delete that file if that process is gone"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)
