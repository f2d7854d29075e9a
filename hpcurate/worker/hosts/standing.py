"""How far the shard of one stage process is, as that has said: for the heartbeat of its worker."""

from __future__ import annotations

import time

from hpcurate.masks import mask
from hpcurate.stage_process.messages import InWork, Reached, ShardJob
from hpcurate.store.heartbeat import AtWork


class Standing:
    """Of one shard. Heard in the slot's thread, read in the heartbeat's: what is replaced is replaced whole."""

    def __init__(self, job: ShardJob) -> None:
        self._job, self._began = job, time.monotonic()
        self._tasks = sum(high - low for _, low, high in job.inputs)
        self._now: tuple[str, Reached, float] | None = None
        """Id of the first task in work, where the shard was as its batch began, and when that was."""
        self._ended: tuple[bool, float] | None = None
        """Whether all of it was done, and when; None: it is in work."""

    def hear(self, message: InWork) -> None:
        """A batch is in work. One that waits for another try, or is prepared again, is in work since its first."""
        reached, task = message.reached, next(iter(message.tasks), "")
        if reached is None or (self._now and self._now[:2] == (task, reached)):
            return
        self._now = task, reached, time.monotonic()

    def end(self, *, done: bool) -> None:
        """All of it is done, and is to be committed; or the attempt ended otherwise."""
        self._ended = done, time.monotonic()

    def read(self) -> AtWork | None:
        """As it is now; None where nothing comes of it."""
        shard, tasks, now, current = self._job.shard, self._tasks, time.monotonic(), self._now
        if self._ended:
            done, at = self._ended
            return AtWork(shard=shard, tasks=tasks, done=tasks, took_s=round(at - self._began, 3)) if done else None
        if current is None:
            return AtWork(shard=shard, tasks=tasks)
        task, reached, since = current
        return AtWork(
            shard=shard,
            tasks=tasks,
            done=reached.done,
            weight=reached.weight,
            took_s=round(since - self._began, 3) if reached.done else 0.0,
            task=mask(task),
            name=mask(reached.name),
            batch=reached.batch,
            weighs=reached.weighs,
            since_s=round(now - since, 3),
            limit_s=self._job.timeout or 0.0,
        )
