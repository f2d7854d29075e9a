"""A worker's heartbeat: a counter on shared storage."""

from __future__ import annotations

import os

from hpcurate.store.layout import StageFolder
from hpcurate.system.beats import Beating
from hpcurate.world import World


class Heartbeat(Beating):
    """Of one worker, in its stage's folder."""

    def __init__(self, world: World, folder: StageFolder, worker: str, every_s: float) -> None:
        super().__init__(world.clock, self._write, every_s)
        self.worker, self._filesystem, self._path = worker, world.filesystem, folder.worker(worker)

    def start(self) -> None:
        """Beat once, then keep beating. Raises OSError where there can be no place for it."""
        self._filesystem.make_folders(os.path.dirname(self._path))
        super().start()

    def _write(self, count: int) -> None:
        self._filesystem.beat(self._path, b"%012d\n" % count)
