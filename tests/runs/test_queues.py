"""A scheduler is asked seldom: two of its answers count as two only if they are that far apart."""

from __future__ import annotations

from one_worker import QuickClock

from hpcurate.planning.pipeline import Timing
from hpcurate.runs.launcher import NoQueue, Presence
from hpcurate.runs.queues import ThrottledQueue

SLOW_S = 20.0
"""A client may take as long as this for an answer."""


class SlowQueue(NoQueue):
    """Takes its time; when it answered."""

    def __init__(self, clock: QuickClock) -> None:
        self.clock, self.answers = clock, list[float]()

    def presence(self, jobs: tuple[str, ...]) -> Presence:
        """See `Queue`."""
        self._answer()
        return Presence.ABSENT

    def find(self, name: str) -> tuple[str, ...] | None:
        """See `Queue`."""
        self._answer()
        return ()

    def _answer(self) -> None:
        self.clock.sleep(SLOW_S)
        self.answers.append(self.clock.slept)


def test_a_slow_answer_is_not_followed_by_another_too_soon() -> None:
    """Before, the time counted from the question: after a slow answer the next came ten seconds later, was remembered,
    and counted as one thirty seconds later.
    """
    clock = QuickClock()
    for asked in ("presence", "find"):
        slow = SlowQueue(clock)
        queue = ThrottledQueue(slow, Timing().ask_s, clock)
        for _ in range(100):
            queue.presence(("1",)) if asked == "presence" else queue.find("name")
            clock.sleep(1.0)
        first, second, *_ = slow.answers
        assert second - first >= Timing().ask_s + SLOW_S
