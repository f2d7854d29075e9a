"""Something tiny that is served: it says where it is, in plain ASGI."""

from __future__ import annotations

import asyncio
import os

from hpcurate.errors import ConfigError
from hpcurate.serving.life import Life
from hpcurate.serving.servers import Server
from hpcurate.web.door import Receive, Scope, Send


class Hello:
    """Answers `/` at once, `/slow` after a second, `/stream` never to its end."""

    def __init__(self, server: Server) -> None:
        self.said = server.spec.served.get("say", "hello")
        self.answered = os.path.join(server.path, "answered")

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        stream = scope["path"] == "/stream"
        kind = b"text/event-stream" if stream else b"text/plain"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        if stream:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await receive()
            await receive()
        if scope["path"] == "/slow":
            await asyncio.sleep(1)
        text = f"{self.said} from {os.environ.get('SLURMD_NODENAME', 'here')}"
        await send({"type": "http.response.body", "body": text.encode()})

    def working(self) -> int:
        """None is queued."""
        return 0

    def close(self, grace_s: float) -> None:
        """Nothing to end."""


def make(server: Server, life: Life) -> Hello:
    """The entry."""
    return Hello(server)


def fail(server: Server, life: Life) -> Hello:
    """Another one."""
    raise ConfigError("served.say: there is nothing to say")
