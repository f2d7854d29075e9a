"""Waiting for a server that was submitted, until it listens. Nothing bounds it but the user."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hpcurate.errors import HpcurateError
from hpcurate.failures import Ending
from hpcurate.report.queue import describe
from hpcurate.runs.launcher import Queue
from hpcurate.serving.servers import Ended, Listening, Server, ServerProcess
from hpcurate.serving.standing import Standing, State, look
from hpcurate.system.clock import Clock, SystemClock, growing

__all__ = ["NeverListened", "Ready", "never_listened", "wait_until_ready"]

LOOK_S = (0.2, 2.0)
"""Seconds between two listings of its folder: the first, the longest."""
ASK_S = (2.0, 30.0)
"""Between two questions to the scheduler."""
TAIL = 20
"""Lines of its log that are shown."""


class NeverListened(HpcurateError):
    """A server that ended before it listened. The message has why, and the end of its log."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A server that listens."""

    listening: Listening
    process: ServerProcess | None


def wait_until_ready(server: Server, queue: Queue, say: Callable[[str], None], clock: Clock | None = None) -> Ready:
    """Return once it listens; meanwhile say why it waits, each time that this changes. Raises NeverListened."""
    return _Waiting(server, queue, say, clock or SystemClock()).wait()


class _Waiting:
    def __init__(self, server: Server, queue: Queue, say: Callable[[str], None], clock: Clock) -> None:
        self._server, self._queue, self._say, self._clock = server, queue, say, clock
        self._said = ""
        self._over = 0

    def wait(self) -> Ready:
        """See `wait_until_ready`."""
        pauses, questions = growing(*LOOK_S), growing(*ASK_S)
        ask_at = self._clock.monotonic()
        while True:
            names = self._server.names()
            if "ended.json" in names:
                raise NeverListened(never_listened(self._server, self._server.ended, ""))
            if "address.json" in names and (listening := self._server.listening):
                return Ready(listening=listening, process=self._server.process)
            if self._clock.monotonic() >= ask_at:
                self._ask()
                ask_at = self._clock.monotonic() + next(questions)
            self._clock.sleep(next(pauses))

    def _ask(self) -> None:
        """One wrong answer of a scheduler ends nothing: that a job is over has to be seen twice, and its folder read
        after that.
        """
        found = look([self._server], self._queue)
        if not found:
            raise NeverListened(f"{self._server.name}: its folder is gone: {self._server.path}")
        self._over = self._over + 1 if found[0].state.over else 0
        if self._over > 1 and self._server.listening is None:
            raise NeverListened(never_listened(self._server, self._server.ended, _how(self._queue, found[0])))
        line = waiting_line(found[0])
        if line and line != self._said:
            self._said = line
            self._say(f"{self._server.name}: {line}")


def waiting_line(standing: Standing) -> str:
    """Why it does not listen yet; empty where nothing is known. Pure."""
    seen, job = standing.seen, standing.seen.job
    named = f"job {job.id} " if job and job.id else ""
    if standing.state is State.QUEUED:
        return f"{named}is {describe(seen.row)}" if seen.row else ""
    if standing.state is State.STARTING:
        where = seen.process.node or seen.process.host if seen.process else ""
        return f"{named}starts on {where}" if where else f"{named}starts"
    return ""


def _how(queue: Queue, standing: Standing) -> str:
    """How its scheduler says that its job ended; empty if it does not."""
    job = standing.seen.job
    found = queue.endings((job.id,)).get(job.id) if job and job.id and standing.seen.ended is None else None
    if found is None or found.ending is None:
        return ""
    used = f", it had {found.memory_mb} MB" if found.ending is Ending.OOM and found.memory_mb else ""
    return f"its job ended: {found.ending.value}{used}"


def never_listened(server: Server, ended: Ended | None, how: str) -> str:
    """Why, and the end of its log. `how`: what the scheduler says of one that could not say why itself."""
    said = f"{ended.why}: {ended.message}" if ended else how or "it was killed, or its node failed"
    tail = server.log_tail(TAIL)
    lines = [f"{server.name} ended before it listened: {said}"]
    return "\n".join(
        [
            *lines,
            *(["the end of its log:", *(f"  {line}" for line in tail)] if tail else []),
            f"its folder: {server.path}",
        ]
    )
