"""uvicorn as a server of ours needs it: heads come in time, signals end it in order, nothing is logged of requests.

Imports uvicorn: only `Server.run` imports this module.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from hpcurate.web.bounds import Bounds

__all__ = ["serve"]

HEAD_S = 20.0
"""A request's line and headers come within this time."""
HEAD_BYTES = 64 * 1024
"""Of its line and headers; the cookies of all servers on a user's loopback are among them."""
CONNECTIONS = 500
"""At once; others are answered 503."""
MOST_OPEN = 600
"""More are cut off unheard: below the usual bound of 1024 open files, as the process needs some for its work."""
IDLE_S = 30
"""A connection without a request is kept so long."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
Ending = Callable[[], object]
"""Called when the end begins."""


def serve(listener: socket.socket, bounds: Bounds, until: threading.Event, grace_s: float, ending: Ending) -> None:
    """Answer until SIGTERM, SIGINT (if this is the main thread) or `until`; a second signal waits for nobody."""
    config = uvicorn.Config(
        bounds,
        http=_Protocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=math.ceil(grace_s),
    )
    _run(_Listening(config, bounds, until, ending).serve(sockets=[listener]))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run` does, which however waits for threads: one that the app has left hanging would keep us."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(serving)
    finally:
        loop.run_until_complete(_nothing_left())
        loop.close()


async def _nothing_left() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class _Protocol(H11Protocol):
    """A connection that does not send the head of a request in time is closed."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_OPEN:
            transport.abort()
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _is_asked(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _look(self) -> None:
        if self._is_asked():
            self._forget()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self._too_late)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
        self._head = None

    def _too_late(self) -> None:
        self._head = None
        if not self._is_asked():
            self.transport.close()


class _Listening(uvicorn.Server):
    """Ends in order, and leaves the process to its caller."""

    def __init__(self, config: uvicorn.Config, bounds: Bounds, until: threading.Event, ending: Ending) -> None:
        super().__init__(config)
        self._bounds, self._until, self._ending = bounds, until, ending

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; whether it is to end."""
        return await super().on_tick(counter) or self._until.is_set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, which however raises each signal again at the end: the caller has work left then."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._loop = asyncio.get_running_loop()
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends it in order, the second at once."""
        if self.should_exit:
            self.force_exit = True
            self._loop.call_soon_threadsafe(self._abort)
        self.should_exit = True

    def _abort(self) -> None:
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """No new connections; streams end; what is being answered has the grace."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it would log each that is cancelled
        self._bounds.end()
        ending = threading.Thread(target=self._ending, daemon=True)
        ending.start()
        await super().shutdown(sockets)
        if not self.force_exit:
            await asyncio.to_thread(ending.join, self.config.timeout_graceful_shutdown)
