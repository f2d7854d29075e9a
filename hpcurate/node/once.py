"""Work that is done once on a node between two boots: `setup_on_node`.

A stage process does it, which has Python 3.9, the standard library, attrs and msgspec, and no filelock: hence
`fcntl.flock`, on the same file that a supervisor locks with filelock before it removes the item. Both are flock(2), so
they exclude each other.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from hpcurate.node.items import POLL_S, WAIT_S, ItemState, NodeItems, StagedItem, size_of


def once_per_boot(items: NodeItems, name: str, action: Callable[[str], None]) -> StagedItem:
    """Have `action(folder)` done on this node since it booted, by whoever is first; the item is read until `close`.

    Raises what `action` raises; the item does not count as done then.
    """
    boot, started, made = boot_id(), time.monotonic(), (0, 0)
    with _locked(items.lock(name)):
        state = items.finished(name)
        if state is None or state.boot != boot:
            folder = items.empty(name)
            items.record(name, ItemState())
            action(folder)
            made = _content(folder)
            items.record(name, ItemState(made[1], done=True, boot=boot))
        items.read(name)
    return items.staged(name, made, started)


def boot_id() -> str:
    """Of this machine since it was started (random(4))."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "?"


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold an exclusive lock; raises OSError after WAIT_S."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + WAIT_S
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise OSError(f"{path}: another process has held it for {WAIT_S:.0f} s")
            time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(folder: str) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [size_of(os.path.join(root, name)) or 0 for root, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)
