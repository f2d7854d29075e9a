"""Room on a node: items that nobody reads are removed, the least recently used first, until another one fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from hpcurate.node.items import NodeItems, size_of
from hpcurate.node.locks import try_exclusive
from hpcurate.units import bytes_text


class NoRoom(Exception):
    """The item does not fit."""


@attrs.define(frozen=True)
class Room:
    """How much may lie in a node's folder."""

    items: NodeItems
    quota: int | None
    """Bytes of all items; None: what is free."""
    log: Callable[[str], None]

    def make(self, name: str, needed: int) -> None:
        """Remove items until one of `needed` bytes fits under the quota and into free space. Raises NoRoom."""
        self._empty_trash()
        if self.quota is not None and needed > self.quota:
            raise NoRoom(f"{name} has {bytes_text(needed)}, the quota on this node is {bytes_text(self.quota)}")
        others = [other for other in self.items.names() if other != name]
        while (problem := self._problem(name, needed)) is not None:
            if not others:
                raise NoRoom(problem)
            oldest = min(others, key=self._last_use)
            others.remove(oldest)
            self._evict(oldest)

    def _empty_trash(self) -> None:
        """Left by processes that were killed while they removed something."""
        for entry in os.listdir(self.items.folder):
            if entry.startswith(".trash-"):
                shutil.rmtree(os.path.join(self.items.folder, entry), ignore_errors=True)

    def _problem(self, name: str, needed: int) -> str | None:
        """Why the item does not fit now."""
        used = sum(self.items.state(other).bytes for other in self.items.names() if other != name)
        if self.quota is not None and used + needed > self.quota:
            taken = f"{bytes_text(used)} of {bytes_text(self.quota)}"
            return f"{name} has {bytes_text(needed)}; {taken} are taken by items in use"
        missing = needed - _bytes_below(self.items.part(name))
        free = shutil.disk_usage(self.items.folder).free
        if missing <= free:
            return None
        return f"{name} needs {bytes_text(missing)}, {self.items.folder} has {bytes_text(free)} free"

    def _last_use(self, name: str) -> float:
        try:
            return os.stat(self.items.use(name)).st_mtime
        except OSError:
            return 0.0

    def _evict(self, name: str) -> None:
        """Remove an item that nobody reads and nobody makes; any other stays."""
        with try_exclusive(self.items.lock(name)) as unlocked, try_exclusive(self.items.use(name)) as unread:
            if unlocked and unread:
                self.log(f"{name}: removed from {self.items.folder} to make room")
                self.items.remove(name)


def _bytes_below(folder: str) -> int:
    paths: Sequence[Path] = list(Path(folder).rglob("*")) if os.path.isdir(folder) else []
    return sum(size_of(str(path)) or 0 for path in paths)
