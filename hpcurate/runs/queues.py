"""Asking schedulers: seldom, and the one that a ticket names, whichever launcher the call has."""

from __future__ import annotations

from collections.abc import Mapping

from hpcurate.failures import JobEnd
from hpcurate.runs.launcher import LAUNCHERS, JobRow, Presence, Queue, make_launcher
from hpcurate.store.rounds import Jobs
from hpcurate.system.clock import Clock


class ThrottledQueue:
    """Asks a queue at most every so often, and remembers the answer meanwhile.

    So often after the answer: two that count as two are that far apart, however long the first one took.
    """

    def __init__(self, queue: Queue, every_s: float, clock: Clock) -> None:
        self.name = queue.name
        self._queue, self._every, self._clock = queue, every_s, clock
        self._answers: dict[tuple[str, ...], tuple[float, Presence]] = {}
        self._found: dict[str, tuple[float, tuple[str, ...] | None]] = {}

    def cluster(self) -> str | None:
        """See `Queue`."""
        return self._queue.cluster()

    def endings(self, jobs: tuple[str, ...]) -> Mapping[str, JobEnd]:
        """See `Queue`."""
        return self._queue.endings(jobs)

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        answered, answer = self._answers.get(jobs, (float("-inf"), Presence.UNKNOWN))
        if self._clock.monotonic() - answered >= self._every:
            answer = self._queue.presence(jobs)
            self._answers[jobs] = (self._clock.monotonic(), answer)
        return answer

    def submitted(self, jobs: tuple[str, ...]) -> None:
        """They were taken a moment ago: an answer as good as the queue's."""
        self._answers[jobs] = (self._clock.monotonic(), Presence.ALIVE)

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`."""
        answered, answer = self._found.get(name, (float("-inf"), None))
        if self._clock.monotonic() - answered >= self._every:
            answer = self._queue.find(name)
            self._found[name] = (self._clock.monotonic(), answer)
        return answer

    def rows(self, jobs: Jobs) -> list[JobRow] | None:
        """See `Queue`."""
        return self._queue.rows(jobs)

    def cancel(self, jobs: Jobs) -> None:
        """See `Queue`."""
        self._queue.cancel(jobs)


def queue_named(name: str, own: Queue) -> Queue | None:
    """The scheduler that a ticket names: the call's own, or that of another launcher of ours; None for a stranger's."""
    if name == own.name:
        return own
    return make_launcher({"_target_": LAUNCHERS[name]}).queue if name in LAUNCHERS else None
