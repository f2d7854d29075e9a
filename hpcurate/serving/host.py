"""A server in its own process: it makes what is served, listens, and ends in order, wherever it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from hpcurate.errors import HpcurateError
from hpcurate.serving.life import Life
from hpcurate.serving.servers import Ended, Listening, Server, ServerProcess
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import Clock, SystemClock
from hpcurate.system.folders import remove_folder
from hpcurate.system.processes import SystemProcesses
from hpcurate.units import job_minutes, plural
from hpcurate.web.door import App, Message, Receive, Scope, Send
from hpcurate.web.server import Address
from hpcurate.web.server import Server as WebServer

__all__ = ["Hosted", "Make", "Noticing", "host", "process_here"]

FLUSH_S = 5.0
"""How long answers that are on their way may take once everything behind them has ended."""
SPARE_S = 10.0
"""A server that has not ended so long after all that it may take to do so is hung: its process ends all the same."""
STREAM = b"text/event-stream"


class Hosted(Protocol):
    """What is served, as the process that serves it sees it."""

    @property
    def app(self) -> App:
        """An ASGI app. It stands behind a door."""

    def working(self) -> int:
        """Requests that wait or are in work: while there are any, nobody calls the server idle."""

    def close(self, grace_s: float) -> None:
        """Accept no more, let what is in work end for so long, then end it all, and return. May be called again."""


Make = Callable[[Server, Life], Hosted]
"""What the `entry` of a server is. It may take its time, also with loading; raise a UserError for what is wrong."""


class Noticing:
    """ASGI: somebody who asks for something uses the server, as long as it is answered. One who looks at a page that is
    open does not: an answer that is a stream of events counts as its beginning.
    """

    def __init__(self, app: App, life: Life) -> None:
        self._app, self._life = app, life
        self.answering = 0
        """Requests that are being answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        counted = 1
        self.answering += 1
        self._life.use()

        async def noticing(message: Message) -> None:
            nonlocal counted
            if counted and message["type"] == "http.response.start" and _is_stream(message):
                self.answering, counted = self.answering - 1, 0
            await send(message)

        try:
            await self._app(scope, receive, noticing)
        finally:
            self.answering -= counted
            self._life.use()


def _is_stream(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(STREAM) for name, value in message["headers"])


def host(
    server: Server,
    make: Make,
    announce: Callable[[Address], None] = lambda address: None,
    say: Callable[[str], None] = lambda line: None,
    clock: Clock | None = None,
) -> int:
    """Serve until it ends; the exit status. Raises what `make` raises.

    `announce` is called once it listens, `say` when it is to end.

    To be called in the main thread: signals end it. Why it ended is in the server's folder, whatever happened.
    """
    spec = server.spec
    process = process_here(clock or SystemClock(), spec.time)
    server.record_process(process)
    life = Life(server, idle_s=spec.idle_s, until=process.until, most_s=spec.grace_s + FLUSH_S + SPARE_S, clock=clock)
    with life.watched():
        try:
            _serve(server, make, life, announce, say)
        except BaseException as error:
            life.end("failed", _words(error))
            raise
    return 1 if life.ended is not None and life.ended.why == "failed" else 0


def _serve(
    server: Server, make: Make, life: Life, announce: Callable[[Address], None], say: Callable[[str], None]
) -> None:
    spec = server.spec
    web = WebServer(spec.listen, spec.port)
    hosted: Hosted | None = None
    try:
        hosted = make(server, life)
        noticing = Noticing(hosted.app, life)

        def working() -> int:
            return max(noticing.answering, hosted.working())  # one that is sent and waited for is both

        def at_end() -> None:
            say(ending_line(server.name, life.ended, working(), spec.grace_s))
            hosted.close(spec.grace_s)

        life.serve(working, at_end)
        if life.ended is None:
            address = web.address
            server.record_listening(Listening(host=address.host, port=address.port, token=address.token))
            announce(address)
            _run(web, noticing, life)
    finally:
        web.close()
        if hosted is not None:
            hosted.close(0.0)  # what failed, or was to end before it was there, has not been ended in order
        remove_folder(server.requests)  # nobody can ask for any of it any more


def _run(web: WebServer, app: App, life: Life) -> None:
    """In a thread, as signals are for `life`, which lets what is in work end before the answers do."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            web.run(app, until=life.closed, grace_s=FLUSH_S)
        except BaseException as error:
            raised.append(error)
            life.end("failed", _words(error))

    thread = threading.Thread(target=run, name="web")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def ending_line(name: str, ended: Ended | None, working: int, grace_s: float) -> str:
    """Why it ends, and how long that may take. Pure."""
    why = f"{name}: ends: {ended.message if ended else ''}"
    return f"{why}; {plural(working, 'request')} may take {grace_s:.0f} s more" if working else why


def process_here(clock: Clock, time: str) -> ServerProcess:
    """This process, and how long its job lasts: by its wall time where Slurm does not say (before 22.05)."""
    job, began = Allocation.here(), clock.now().timestamp()
    until = (
        job.end_time if job.end_time is not None or not time or job.job_id is None else began + job_minutes(time) * 60
    )
    return ServerProcess(
        identity=SystemProcesses().mine(),
        host=os.uname().nodename,
        node=job.node_name or "",
        began=began,
        until=until,
    )


def _words(error: BaseException) -> str:
    return (
        str(error) if isinstance(error, (HpcurateError, msgspec.MsgspecError)) else f"{type(error).__name__}: {error}"
    )
