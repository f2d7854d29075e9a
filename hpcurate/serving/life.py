"""How long a server lives: until somebody cancels it, its job's time is over, nobody uses it, or it fails.

A thread looks at all of these, so that whatever the main thread does, loading a model or answering, the end comes in
order: it is written down at once, then what is in work may end, then nobody is answered any more.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import msgspec

from hpcurate.runs.launcher import SERVER_WARNING as WARNING
from hpcurate.serving.servers import Ended, Server, Why
from hpcurate.system.clock import Clock, SystemClock

__all__ = ["Life", "Look", "reason_to_end"]

LOOK_S = 2.0
"""Seconds between two looks at its folder: a listing each."""
END_AT_S = 30.0
"""A server ends by itself so long before its job does, if no warning came; in a short job a quarter of its time."""
HUNG = 1
"""Exit status of a process that could not end in order."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, WARNING)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """All that a server's end depends on, in one look."""

    signal: int = 0
    """That came first; 0: none."""
    asked: str = ""
    """Who asked it to end."""
    gone: bool = False
    """Whether its folder is no more."""
    idle_s: float = 0.0
    """How long nobody has used it."""
    most_idle_s: float | None = None
    is_near: bool = False
    """Whether the end of its job's time is."""


def reason_to_end(seen: Look) -> tuple[Why, str] | None:
    """Why it is to end now, and in words; None: it is not. Pure."""
    if seen.asked:
        return "cancelled", f"by {seen.asked}"
    if seen.gone:
        return "cancelled", "its folder was removed"
    if seen.signal == WARNING or (seen.is_near and seen.signal != signal.SIGINT):
        return "time", "the time of its job is over"
    if seen.signal:
        name = signal.Signals(seen.signal).name
        return "cancelled", "by Ctrl-C" if seen.signal == signal.SIGINT else f"by {name}: scancel, kill or preemption"
    if seen.most_idle_s is not None and seen.idle_s >= seen.most_idle_s:
        return "idle", f"no request for {seen.most_idle_s:.0f} s"
    return None


def end_at_s(job_s: float) -> float:
    """So long before its end a server that begins now ends by itself, in a job that lasts so much longer. Pure."""
    return max(0.0, min(END_AT_S, job_s / 4))


class Life:
    """Of one server, in its own process. `most_s`: seconds that the end may take, before the process is ended."""

    def __init__(
        self,
        server: Server,
        *,
        idle_s: float | None = None,
        until: float | None = None,
        most_s: float | None = None,
        clock: Clock | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._clock, self._look_s = clock or SystemClock(), look_s
        self._server, self._most_idle_s, self._most_s = server, idle_s, most_s
        self._end_at = None if until is None else until - end_at_s(until - self._clock.now().timestamp())
        self._used_at = self._clock.monotonic()
        self._working: Callable[[], int] = lambda: 0
        self._at_end: Callable[[], None] = lambda: None
        self._signal = 0
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._missed = 0
        self.ended: Ended | None = None
        """Why; once it is to end."""
        self.closed = threading.Event()
        """Nobody is to be answered any more."""

    # -- what others report ---------------------------------------------------------------------------

    def use(self) -> None:
        """Somebody asks for something."""
        self._used_at = self._clock.monotonic()

    def serve(self, working: Callable[[], int], at_end: Callable[[], None]) -> None:
        """It can be used. `working`: requests that wait or are in work; `at_end` lets them end, and returns."""
        self._working, self._at_end = working, at_end
        self.use()

    def end(self, why: Why, message: str) -> None:
        """It is to end; the first reason stands. Returns at once."""
        if self.ended is None:
            self.ended = Ended(why=why, message=message, at=self._clock.now().timestamp())
            self._wake()

    # -- watching -------------------------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, signals end it, and a thread watches it; at its end the thread is through."""
        before = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        thread = threading.Thread(target=self._watch, name="life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end("failed", "it stopped by itself")
            thread.join(timeout=60)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Only notes it: a handler may come at any line. After the first Ctrl-C another one interrupts."""
        self._signal = self._signal or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._write_end, b".")

    def _watch(self) -> None:
        while self.ended is None:
            reason = reason_to_end(self._look())
            if reason is not None:
                self.end(*reason)
            elif select.select([self._read_end], [], [], self._look_s)[0]:
                os.read(self._read_end, 100)
        if self._most_s is not None:
            hung = threading.Timer(self._most_s, os._exit, (HUNG,))
            hung.daemon = True
            hung.start()
        try:
            self._server.record_end(self.ended)  # first of all: whoever is to kill us may not wait
            self._server.forget_listening()
            self._at_end()
        finally:
            self.closed.set()

    def _look(self) -> Look:
        names = self._names()
        now = self._clock.monotonic()
        if self._working():
            self._used_at = now
        return Look(
            signal=self._signal,
            asked=self._server.asked_to_end if "cancel" in names else "",
            gone=self._missed > 1,
            idle_s=now - self._used_at,
            most_idle_s=self._most_idle_s,
            is_near=self._end_at is not None and self._clock.now().timestamp() >= self._end_at,
        )

    def _names(self) -> Collection[str]:
        """What is in its folder. That it is gone has to be seen twice; that nobody answers is no sign of it."""
        with suppress(OSError):
            names = self._server.names()
            self._missed = 0 if "server.json" in names else self._missed + 1
            return names
        return ()
