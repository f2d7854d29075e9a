"""Time and threads as the engine asks for them: handed in, so that a simulation can take their place."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Callable, Protocol

import msgspec


class Event(Protocol):
    """Something that threads wait for."""

    def set(self) -> None:
        """Let it happen."""

    def is_set(self) -> bool:
        """Whether it has happened."""

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds; whether it has happened."""


class Thread(Protocol):
    """A thread that was started."""

    def is_alive(self) -> bool:
        """Whether it still runs."""

    def join(self, timeout: float) -> None:
        """Wait for its end, at most so many seconds."""


class Clock(Protocol):
    """The observer's own time. Times of two machines are never compared."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def now(self) -> datetime.datetime:
        """UTC, for names and stamps that people read. A wall clock jumps: only Slurm's end of a job is compared."""

    def sleep(self, seconds: float) -> None:
        """Let others run."""

    def event(self) -> Event:
        """An event that has not happened."""

    def lock(self) -> AbstractContextManager[Any]:
        """A lock between the threads of this process."""

    def start(self, action: Callable[[], None], name: str) -> Thread:
        """Run `action` in a thread that does not keep the process alive."""


def growing(first_s: float, longest_s: float) -> Iterator[float]:
    """Pauses in seconds between tries, each twice as long as the one before. Pure; without an end."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, longest_s)


class Since(msgspec.Struct, frozen=True):
    """A moment and what has passed since: counted by the monotonic clock, for a wall clock jumps."""

    clock: Clock
    begun: float
    """Unix seconds, UTC: for people to read."""
    _monotonic: float

    @classmethod
    def now(cls, clock: Clock) -> Since:
        """From now on."""
        return cls(clock, round(clock.now().timestamp(), 3), clock.monotonic())

    @property
    def seconds(self) -> float:
        """So many have passed."""
        return self.clock.monotonic() - self._monotonic

    @property
    def until(self) -> float:
        """The present moment in Unix seconds, never before the first one."""
        return round(self.begun + self.seconds, 3)


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def now(self) -> datetime.datetime:
        """See `Clock`."""
        return datetime.datetime.now(datetime.timezone.utc)

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)

    def event(self) -> Event:
        """See `Clock`."""
        return threading.Event()

    def lock(self) -> AbstractContextManager[Any]:
        """See `Clock`."""
        return threading.Lock()

    def start(self, action: Callable[[], None], name: str) -> Thread:
        """See `Clock`."""
        thread = threading.Thread(target=action, name=name, daemon=True)
        thread.start()
        return thread
