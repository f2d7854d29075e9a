"""A worker's heartbeat: a counter on shared storage, raised by a thread of its own."""

from __future__ import annotations

import os

from hpcurate.store.layout import StageFolder
from hpcurate.system.clock import Thread
from hpcurate.world import World


class Heartbeat:
    """Raises a counter while the worker lives; also reports since when that has gone through without a gap."""

    def __init__(self, world: World, folder: StageFolder, worker: str, every_s: float) -> None:
        self.worker = worker
        self._filesystem, self._clock = world.filesystem, world.clock
        self._path, self._every = folder.worker(worker), every_s
        self._count = 0
        self._last = self._gapless_since = self._clock.monotonic()
        self._stop = self._clock.event()
        self._thread: Thread | None = None

    @property
    def gapless_since(self) -> float:
        """Since when our own beats went through; now, while one is overdue (storage away, or ourselves stopped)."""
        now = self._clock.monotonic()
        return now if now - self._last > 3 * self._every else self._gapless_since

    def start(self) -> None:
        """Beat once, then keep beating."""
        self._filesystem.make_folders(os.path.dirname(self._path))
        self._beat()
        self._thread = self._clock.start(self._run, "heartbeat")

    def stop(self) -> None:
        """Beat no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(3 * self._every)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._beat()

    def _beat(self) -> None:
        self._count += 1
        try:
            self._filesystem.beat(self._path, b"%012d\n" % self._count)
        except OSError:  # storage may be away for a while; the gap is what counts
            return
        now = self._clock.monotonic()
        if now - self._last > 3 * self._every:
            self._gapless_since = now
        self._last = now
