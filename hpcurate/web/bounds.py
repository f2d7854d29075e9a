"""What one exchange may take of a server, and how it is ended: an ASGI middleware in front of everything."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hpcurate.web.door import App, Message, Receive, Scope, Send, answer

__all__ = ["Bounds"]

STALL_S = 60.0
"""So long a body may stand still."""
CLOSE = (b"connection", b"close")
LINGER_S = 5.0
"""So long a body is read on that nobody wants: a client that still sends it would not see our answer."""


class Bounds:
    """Bodies of bounded size that do not stand still; and the server's streams, which `end` ends at once."""

    def __init__(self, app: App, most_body: int | None, stall_s: float = STALL_S) -> None:
        self.app, self.most_body, self.stall_s = app, most_body, stall_s
        self._exchanges: set[_Exchange] = set()
        self._ending = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        self._exchanges.add(exchange)
        try:
            await exchange.run()
        finally:
            self._exchanges.discard(exchange)

    def end(self) -> None:
        """End all streams, and those that still begin. What has an end of its own is left."""
        self._ending = True
        for exchange in list(self._exchanges):
            exchange.end_stream()

    @property
    def ending(self) -> bool:
        """Whether streams are ended as they begin."""
        return self._ending


class _Exchange:
    """One request and its answer."""

    def __init__(self, bounds: Bounds, scope: Scope, receive: Receive, send: Send) -> None:
        self.bounds, self.scope = bounds, scope
        self._receive, self._send = receive, send
        self._declared, self._unread = _body(scope)
        self._taken = 0
        self._started = self._complete = self._gone = False
        self._stream: asyncio.Task[None] | None = None
        self._stopped = False
        self._refused: tuple[int, str] | None = None

    async def run(self) -> None:
        """Have it answered."""
        if self._is_too_much(self._declared):
            self._refused = self._too_much()
        else:
            await self._ask_app()
        if self._refused is not None and not self._started:
            await answer(self._finish, *self._refused)
        elif self._stopped and self._started and not self._complete:
            await self._send({"type": "http.response.body", "body": b""})

    async def _ask_app(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self.bounds.app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._stopped or self._task is None:
                raise
            self._task.uncancel()
        except Exception:
            if not self._gone and self._refused is None:  # else nobody waits for what the app could not do
                raise

    async def receive(self) -> Message:
        """What the app is given of the request."""
        if not self._unread:
            return self._seen(await self._receive())
        try:
            async with asyncio.timeout(self.bounds.stall_s):
                message = self._seen(await self._receive())
        except TimeoutError:
            self._unread = False  # nor is it waited for once it is answered
            return self._cut((408, f"Nothing more came for {self.bounds.stall_s:g} s.\n"))
        self._taken += len(message.get("body", b""))
        return self._cut(self._too_much()) if self._is_too_much(self._taken) else message

    def _is_too_much(self, size: int) -> bool:
        return self.bounds.most_body is not None and size > self.bounds.most_body

    def _seen(self, message: Message) -> Message:
        self._unread = message.get("more_body", False)
        self._gone = self._gone or message["type"] == "http.disconnect"
        return message

    def _cut(self, refused: tuple[int, str]) -> Message:
        """To the app it is as if the client had left; the client is answered here."""
        self._refused = refused
        return {"type": "http.disconnect"}

    def _too_much(self) -> tuple[int, str]:
        return 413, f"More than {self.bounds.most_body} bytes are not taken.\n"

    async def send(self, message: Message) -> None:
        """What the app says."""
        if self._refused is None:
            await self._finish(message)

    async def _finish(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = self._start(message)
        elif not message.get("more_body", False):
            if self._unread:
                await self._send({**message, "more_body": True})
                await self._read_on()
                message = {"type": "http.response.body", "body": b""}
            self._complete = True
        await self._send(message)

    def _start(self, message: Message) -> Message:
        self._started = True
        headers = list(message.get("headers", ()))
        if any([name.lower() == b"content-type" and b"text/event-stream" in value for name, value in headers]):
            self._stream = self._task
            if self.bounds.ending:
                self.end_stream()
        return {**message, "headers": [*headers, CLOSE]} if self._unread or self._refused else message

    async def _read_on(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while self._unread:
                    self._seen(await self._receive())

    def end_stream(self) -> None:
        """End it if its answer is a stream of events."""
        if self._stream is not None and not self._complete and not self._stopped:
            self._stopped = True
            self._stream.cancel()


def _body(scope: Scope) -> tuple[int, bool]:
    """(declared size in bytes, whether there is one), from the request's headers."""
    headers = {name.lower(): value for name, value in scope["headers"]}
    length = headers.get(b"content-length", b"0")
    declared = int(length) if length.isdigit() else 0
    return declared, declared > 0 or b"transfer-encoding" in headers
