"""What every place that weights come from has in common: an offer, room on the disk, progress."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from hpcurate.errors import StoreError
from hpcurate.models.registry import ModelEntry
from hpcurate.store.manifest import FileEntry
from hpcurate.units import megabytes

Echo = Callable[[str], None]
SAID_EVERY_S = 5.0
"""Seconds between two lines about one long transfer."""


@attrs.define(frozen=True)
class Offer:
    """What a place has for an entry."""

    version: str | None
    """None: known when the files are here, from their content."""
    size: int
    """Bytes; 0 where the place does not say before it is asked for them."""
    text: str
    """What is about to be fetched, in a line."""
    bring: Callable[[str, Echo], Sequence[FileEntry]]
    """Bring the files into a part folder, going on from what is there, each checked. Raises UserError."""
    stamp: str = ""
    """Of what can change behind our back, so that it is noticed."""


def check_room(entry: ModelEntry, part: str, size: int) -> None:
    """Whether `size` bytes, or what the entry expects, fit where `part` is. Raises StoreError."""
    needed = max(size, megabytes(entry.size) * 2**20 if entry.size else 0)
    folder = os.path.dirname(part)
    here = sum(p.stat().st_size for p in Path(part).rglob("*") if p.is_file()) if os.path.isdir(part) else 0
    free = shutil.disk_usage(folder).free
    if needed - here > free:
        raise StoreError(
            f"model {entry.name}: needs {(needed - here) / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free; "
            "make room there, or name another store"
        )


def check_digest(entry: ModelEntry, paths: Sequence[Path], got: str) -> None:
    """Delete files whose digest is not the entry's. Raises StoreError."""
    if got == entry.origin.version:
        return
    for path in paths:
        path.unlink(missing_ok=True)
    raise StoreError(
        f"model {entry.name}: {entry.origin.title} of {entry.origin.text} has another digest than its entry says: "
        f"expected sha256 {entry.origin.version}, got {got}; it was deleted: correct `sha256:`, if you trust what "
        "came, or its place"
    )


class Progress:
    """A line every few seconds about bytes that arrive. Threads may share it."""

    def __init__(self, entry: ModelEntry, total: int, echo: Echo) -> None:
        self._name, self._total, self._echo = entry.name, total, echo
        self._done, self._said, self._lock = 0, time.monotonic(), threading.Lock()

    def __call__(self, count: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._done += count
            if time.monotonic() - self._said >= SAID_EVERY_S:
                self._said = time.monotonic()
                total = f" of {self._total / 1e6:.1f}" if self._total else ""
                self._echo(f"{self._name}: {self._done / 1e6:.1f}{total} MB")
