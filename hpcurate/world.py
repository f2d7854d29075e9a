"""The world that the engine acts in, handed to it as one value: shared storage, time, processes, chance.

Claims, heartbeats, commits, rounds, looking, deciding and a run's own folder touch nothing else; the queue comes with
the launcher. A test keeps the list of these modules, and of what they may use all the same.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hpcurate.store.filesystem import POSIX, Filesystem
from hpcurate.store.layout import Store
from hpcurate.store.mounted import Mounted
from hpcurate.store.stage_store import StageStore
from hpcurate.system.clock import Clock, SystemClock
from hpcurate.system.processes import Processes, SystemProcesses, nonce


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything outside the engine's own decisions."""

    filesystem: Filesystem = POSIX
    clock: Clock = msgspec.field(default_factory=SystemClock)
    processes: Processes = msgspec.field(default_factory=SystemProcesses)
    nonce: Callable[[int], str] = nonce
    """So many random bytes, in hexadecimal."""

    def expecting(self, store: Store) -> World:
        """The same where this store is there already: one that is unmounted is not taken for an empty one."""
        return msgspec.structs.replace(self, filesystem=Mounted(self.filesystem, store))

    def stage(self, store: Store, folder: str) -> StageStore:
        """One stage of a store, by the name of its folder."""
        return StageStore(self.filesystem, store.stage(folder), store.trash)
