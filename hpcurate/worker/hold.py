"""A worker that its node is to blame for keeps its allocation for a while: else that node fails one after the other.

A node on which every worker fails at once would be given all elements of an array while others work on theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from hpcurate.system.clock import Clock, Event

MOST_EVERY_S = 10.0
"""How often it is looked whether there is still a reason to stay, at least."""


def hold(clock: Clock, leave: Event, seconds: float, every_s: float, over: Callable[[], bool]) -> None:
    """Stay until `over`, or for so many seconds, or until told to `leave`."""
    end = clock.monotonic() + seconds
    while not leave.is_set() and (left := end - clock.monotonic()) > 0 and not over():
        leave.wait(min(left, every_s, MOST_EVERY_S))


def is_over(mine: str, done_before: int, done: int, reports: list[str]) -> bool:
    """Whether another worker has committed something since, or has failed as well. Pure."""
    return done > done_before or any(worker != mine for worker in reports)
