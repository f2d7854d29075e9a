"""What a server pushes: server-sent events, published from any thread, and read by any number of pages."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import StreamingResponse

__all__ = ["Topic", "json_of", "last_seen", "sse_response"]

COMMENT_S = 15.0
"""A stream without events says so this often: only who writes notices that a client has left."""
COMMENT = b": nothing new\n\n"
LAST = b"event: end\ndata: null\n\n"
"""Behind the last event of a topic that has ended: a page closes its stream, which a browser would open again."""


def json_of(value: Any) -> bytes:
    """Plain data or msgspec values as one line of JSON, also names of files whose bytes are no text. Pure."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_readable(msgspec.to_builtins(value)))


def _readable(plain: Any) -> Any:
    if isinstance(plain, str):
        return plain.encode(errors="surrogatepass").decode(errors="replace")
    if isinstance(plain, dict):
        return {_readable(key): _readable(value) for key, value in plain.items()}
    return [_readable(one) for one in plain] if isinstance(plain, list | tuple) else plain


class Topic:
    """Something that is followed. The newest events are kept, so who comes later sees what was before."""

    def __init__(self, most_events: int = 2000, most_bytes: int = 4 * 2**20) -> None:
        self._most_events, self._most_bytes = most_events, most_bytes
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._bytes = 0
        self._gone = 0
        self._ended = False
        self._waiting: set[_Waiter] = set()

    def publish(self, name: str, data: Any) -> None:
        """One event: plain data or msgspec values, written as one line of JSON. After the end it is dropped."""
        if not name.isidentifier():
            raise ValueError(f"{name!r}: events are named as variables are")
        text = f"event: {name}\ndata: ".encode() + json_of(data) + b"\n"
        with self._lock:
            if self._ended:
                return
            number = self._gone + len(self._events) + 1
            self._keep(text + b"id: %d\n\n" % number)
        self._wake()

    def _keep(self, event: bytes) -> None:
        self._events.append(event)
        self._bytes += len(event)
        while len(self._events) > self._most_events or (self._bytes > self._most_bytes and len(self._events) > 1):
            self._bytes -= len(self._events.popleft())
            self._gone += 1

    def end(self) -> None:
        """No more comes: streams end behind what was published."""
        with self._lock:
            self._ended = True
        self._wake()

    @property
    def ended(self) -> bool:
        """Whether no more comes."""
        return self._ended

    def _wake(self) -> None:
        for waiter in tuple(self._waiting):
            waiter.wake()

    def _behind(self, seen: int) -> tuple[list[bytes], int, bool]:
        """(events behind the first so many, how many there were by then, whether no more comes)."""
        with self._lock:
            first = max(seen - self._gone, 0)
            return list(self._events)[first:], self._gone + len(self._events), self._ended

    async def stream(self, seen: int = 0) -> AsyncIterator[bytes]:
        """Server-sent events from behind event number `seen`, as far as they are kept; then those that come."""
        waiter = _Waiter()
        self._waiting.add(waiter)
        try:
            while True:
                waiter.event.clear()
                events, seen, ended = self._behind(seen)
                if events:
                    yield b"".join(events)
                if ended:
                    yield LAST
                    return
                if not await waiter.wait():
                    yield COMMENT
        finally:
            self._waiting.discard(waiter)


class _Waiter:
    """A stream that waits in its event loop."""

    def __init__(self) -> None:
        self.loop, self.event = asyncio.get_running_loop(), asyncio.Event()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.event.set)

    async def wait(self) -> bool:
        """Whether there is something new; False after a while without."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMENT_S):
                await self.event.wait()
        return self.event.is_set()


def last_seen(request: Request) -> int:
    """The number that a browser gives which opens a stream again: `Topic.stream(last_seen(request))`."""
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0


def sse_response(stream: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer that goes on: whoever leaves ends its stream, and so does the end of the server."""
    from starlette.responses import StreamingResponse

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies would hold events back
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
