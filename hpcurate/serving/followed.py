"""Requests that came by HTTP, as far as anybody may ask for them still."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hpcurate.serving.served import Cancelled, Event, Failed, Line, Queued, Result
from hpcurate.serving.wire import event_of
from hpcurate.web.events import Topic

__all__ = ["Book", "Followed"]

MOST_ENDED = 200
"""Requests that have ended and are remembered, at most; each with its newest events."""


class Followed:
    """One request: `tell` is given to the service, everything else reads."""

    def __init__(self, request: str, over: Callable[[], None] = lambda: None) -> None:
        """`over` is called once it has ended, from a thread of the service."""
        self.id, self._over = request, over
        self.topic = Topic(most_bytes=2**20)
        self.newest: Event | None = None
        """Event that is no line."""
        self.ended_at: float | None = None

    def tell(self, event: Event) -> None:
        """What the service says."""
        ends = isinstance(event, Result | Failed | Cancelled)
        if not isinstance(event, Line):
            self.newest = event
        try:
            self.topic.publish(*event_of(self.id, event))
        finally:
            if ends:  # whatever it is that could not be said
                self.ended_at = time.monotonic()
                self.topic.end()
                self._over()

    @property
    def ended(self) -> bool:
        """Whether no more comes."""
        return self.ended_at is not None

    @property
    def place(self) -> int:
        """In the queue; 0 where it is in work already."""
        return self.newest.place if isinstance(self.newest, Queued) else 0


class Book:
    """All of them; those that ended are forgotten after `keep_s`, as their files are."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s, self._all, self._lock = keep_s, dict[str, Followed](), threading.Lock()

    def add(self, followed: Followed) -> None:
        """One that was accepted."""
        with self._lock:
            self._all[followed.id] = followed
            for request in forgotten(self._all, time.monotonic() - self._keep_s):
                del self._all[request]

    def get(self, request: str) -> Followed | None:
        """It, if it is remembered."""
        return self._all.get(request)


def forgotten(requests: dict[str, Followed], before: float) -> list[str]:
    """Those that ended before a time, and the oldest of too many. Pure."""
    ended = sorted((one.ended_at, one.id) for one in requests.values() if one.ended_at is not None)
    too_many = max(0, len(ended) - MOST_ENDED)
    return [request for place, (at, request) in enumerate(ended) if place < too_many or at < before]
