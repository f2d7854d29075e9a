"""The shard that a slot has claimed ahead of its stage process, at most one: begun, or handed back, exactly once.

The slot claims it and begins it; the worker's main thread hands it back as soon as the worker is to leave.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from hpcurate.stage_process.messages import ShardJob
from hpcurate.verdict import Verdict
from hpcurate.worker.picker import Pick


class Attempt(msgspec.Struct, frozen=True):
    """A claimed shard that is ready to run."""

    pick: Pick
    job: ShardJob
    verdict: Verdict
    begun: bool = False
    """By its stage process, before the slot came to it."""

    @property
    def shares(self) -> bool:
        """Whether it may be prepared beside another: where a culprit is sought, and nothing is known, it may not."""
        return not (self.verdict.isolate or self.verdict.exhausted or self.job.whole)


class NextShard:
    """See `Ahead`."""

    def __init__(
        self,
        lock: AbstractContextManager[Any],
        claim: Callable[[float], Attempt | None],
        may_begin: Callable[[], bool],
    ) -> None:
        self._lock, self._claim, self._may_begin = lock, claim, may_begin
        self._held: Attempt | None = None
        self.before = 0.0
        """Weight of the shard before it."""

    def claim(self) -> ShardJob | None:
        """See `Ahead`."""
        attempt = self._claim(self.before)
        with self._lock:
            self._held = attempt
        return attempt.job if attempt and attempt.shares else None

    def begin(self) -> bool:
        """See `Ahead`."""
        may_begin = self._may_begin()
        with self._lock:
            if self._held is not None and may_begin:
                self._held = msgspec.structs.replace(self._held, begun=True)
            return self.begun

    @property
    def begun(self) -> bool:
        """Whether there is one, and it is in work."""
        return self._held is not None and self._held.begun

    def take(self, *, unless_begun: bool = False) -> Attempt | None:
        """It, once; `unless_begun` leaves what is in work to its slot."""
        with self._lock:
            if unless_begun and self.begun:
                return None
            held, self._held = self._held, None
            return held
