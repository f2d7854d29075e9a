"""What is said over the channel to one stage process: about the shard that it runs, and the one ahead of that."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from hpcurate.stage_process.channel import Channel, ChannelClosed
from hpcurate.stage_process.messages import Done, InWork, Message, ShardJob
from hpcurate.store.heartbeat import AtWork
from hpcurate.worker.hosts import Ahead
from hpcurate.worker.hosts.standing import Standing


class Exchange:
    """Shards given and answers received. What of either is in work is known at any time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.ahead: ShardJob | None = None
        """Given to be prepared."""
        self._begun = False
        """It is in work already."""
        self._in_work: dict[str, tuple[str, ...]] = {}
        self._standing: Standing | None = None

    def at_work(self) -> AtWork | None:
        """How far the shard that was given last is; from any thread."""
        standing = self._standing
        return standing.read() if standing else None

    def in_work(self, job: ShardJob | None) -> tuple[str, ...]:
        """Ids of the tasks of a shard that are processed or prepared, or were when the process ended."""
        return self._in_work.get(job.shard, ()) if job else ()

    def has_begun(self, job: ShardJob) -> bool:
        """Whether the shard is in work, or was: a process that ended has ended it, too."""
        return self._begun and self.ahead is not None and self.ahead.directory == job.directory

    def run(self, job: ShardJob, ahead: Ahead | None) -> Message | None:
        """The message that a shard ends with; None if one of its batches takes too long.

        Raises ChannelClosed, NoMessage. The next shard is claimed when the stage process says so, and only once.
        """
        standing = self._standing = Standing(job)
        message = None
        try:
            message = self._converse(job, ahead, standing)
        finally:
            standing.end(done=isinstance(message, Done))
        return message

    def _converse(self, job: ShardJob, ahead: Ahead | None, standing: Standing) -> Message | None:
        begun, self.ahead, self._begun = self.has_begun(job), None, False
        if not begun:
            self._channel.send(job)
        late, due = self._later(job.timeout), None
        while True:
            message = self._channel.receive(_until(late, due))
            if isinstance(message, InWork):
                self._in_work[message.shard] = message.tasks
                if message.shard == job.shard:
                    standing.hear(message)
                    late = self._later(None if job.timeout is None else job.timeout + message.pause)
                    due = self._later(message.ask_in) if ahead else None
            elif message is not None:
                return message
            elif ahead and due is not None and time.monotonic() >= due:
                self._look_ahead(ahead)
                ahead = due = None
            elif late is not None and time.monotonic() >= late:
                return None

    def begin_next(self, ahead: Ahead | None) -> None:
        """Let the stage process begin what it has prepared: the answer is waited for in the next `run`."""
        if self.ahead is not None and ahead is not None and ahead.begin():
            self._begun = True
            with suppress(ChannelClosed):  # seen when its answer is waited for
                self._channel.send(self.ahead)

    def _look_ahead(self, ahead: Ahead) -> None:
        self.ahead = ahead.claim()
        if self.ahead is not None:
            self._channel.send(msgspec.structs.replace(self.ahead, ahead=True))

    @staticmethod
    def _later(seconds: float | None) -> float | None:
        return None if seconds is None else time.monotonic() + seconds


def _until(*ends: float | None) -> float | None:
    """Seconds until the first of them."""
    left = [end - time.monotonic() for end in ends if end is not None]
    return max(0.0, min(left)) if left else None
