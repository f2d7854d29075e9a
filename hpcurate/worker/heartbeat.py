"""A worker's heartbeat: a counter on shared storage, and for people what is in work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from hpcurate.node.place import node_name
from hpcurate.store.heartbeat import AtWork, Beat, encoded
from hpcurate.store.layout import StageFolder
from hpcurate.system.beats import Beating
from hpcurate.world import World

PER_SECOND = 16
"""All workers of a round together write about so many heartbeats a second at most, for those who look."""
SOONEST_S = 2.0
"""None of them writes more often."""


def in_work_s(heartbeat_s: float, workers: int) -> float:
    """Pause between two beats of a worker that has something in work, so that what is seen of it moves. Pure."""
    return min(heartbeat_s, max(SOONEST_S, workers / PER_SECOND))


class Heartbeat(Beating):
    """Of one worker, in its stage's folder. At least every `every_s`, and sooner while something is in work."""

    def __init__(
        self,
        world: World,
        folder: StageFolder,
        worker: str,
        every_s: float,
        *,
        at_work: Callable[[], Sequence[AtWork]] | None = None,
        workers: int = 1,
    ) -> None:
        """`at_work`: what is in work now; None: nobody says that. `workers`: so many there are in the round."""
        super().__init__(world.clock, self._write, every_s)
        self.worker, self._filesystem, self._path = worker, world.filesystem, folder.worker(worker)
        self._at_work = at_work
        self._look_s = in_work_s(every_s, workers) if at_work else every_s
        self._looks = self._size = 0

    def start(self) -> None:
        """Beat once, then keep beating. Raises OSError where there can be no place for it."""
        self._filesystem.make_folders(os.path.dirname(self._path))
        super().start()

    def stop(self) -> None:
        """Beat no more. What was in work is in work no longer, also for those who look."""
        super().stop()
        self._at_work = None
        if self._size and not (self._thread and self._thread.is_alive()):
            self._beat()

    def _is_due(self) -> bool:
        self._looks += 1
        return bool(self._size or self._now()) or self._looks * self._look_s >= self._every_s

    def _now(self) -> tuple[AtWork, ...]:
        with suppress(Exception):  # for people; what goes wrong here says nothing of the worker
            return tuple(self._at_work()) if self._at_work else ()
        return ()

    def _write(self, count: int) -> None:
        counter, at_work, self._looks = b"%012d" % count, self._now(), 0
        if at_work or self._size:
            beat = Beat(counter=counter, node=node_name(), every_s=self._look_s, at_work=at_work)
            data = encoded(beat, self._size)
            with suppress(OSError):  # a longer file may not fit on a full disk
                self._filesystem.beat(self._path, data)
                self._size = len(data)
                return
        self._filesystem.beat(self._path, counter + b"\n")
