"""The HTTP endpoint of a service: FastAPI in front of `Answers`. Who may come in is the matter of `web/door.py`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from hpcurate.serving.endpoint_page import POLICY, page_of
from hpcurate.serving.endpoint_schema import ID, OPERATIONS, document
from hpcurate.serving.followed import Book, Followed
from hpcurate.serving.served import Failed, OutFile, Result
from hpcurate.serving.service import Answers, NotAccepted, Unfit
from hpcurate.serving.taking import Taking, most_body
from hpcurate.serving.wire import Accepted, Problem, Problems, done_of, links_of, state_of, status_of
from hpcurate.web.events import json_of, last_seen, sse_response

__all__ = ["PAGE", "app_of", "most_body"]

PAGE = "/page"
"""Where the page is mounted, if there is one."""
INLINE = ("image/", "video/", "audio/", "text/plain")
"""Media that a browser shows; it stores all others, as HTML of a sender would be a page of ours."""
RETRY_S = 10
"""After which a client that found the queue full may try again."""
Id = Annotated[str, Path(pattern=ID)]
Number = Annotated[int, Path(ge=0)]


def app_of(service: Answers) -> FastAPI:
    """All paths of a service. The page may be mounted into it at `PAGE`."""
    app = FastAPI(docs_url=None, redoc_url=None)
    endpoint = Endpoint(service)
    for kind, handler in {**HANDLERS, NotAccepted: endpoint.not_accepted}.items():
        app.add_exception_handler(kind, handler)
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ("POST", "/run"): endpoint.run,
        ("POST", "/requests"): endpoint.send,
        ("GET", "/requests/{id}"): endpoint.state,
        ("DELETE", "/requests/{id}"): endpoint.cancel,
        ("GET", "/requests/{id}/events"): endpoint.events,
        ("GET", "/requests/{id}/files/{number}"): endpoint.file,
        ("GET", "/health"): endpoint.health,
    }
    for one in OPERATIONS:
        app.add_api_route(one.path, functions[one.method, one.path], methods=[one.method], response_model=None)
    _add_pages(app, service)
    return app


def _add_pages(app: FastAPI, service: Answers) -> None:
    @app.get("/", include_in_schema=False)
    async def first() -> Response:
        has_page = any(isinstance(route, Mount) and route.path == PAGE for route in app.routes)
        return RedirectResponse(f"{PAGE}/" if has_page else "/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        return HTMLResponse(page_of(service.served, base), headers={"Content-Security-Policy": POLICY})

    app.openapi = lambda: document(service.served)  # type: ignore[method-assign]


class Endpoint:
    """What each path does."""

    def __init__(self, service: Answers) -> None:
        self._service, self._taking = service, Taking(service)
        self._book = Book(service.served.limits.keep_s)

    async def run(self, request: Request) -> Response:
        """Send a request and wait for its result. Whoever does not wait takes it back."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        followed = await self._submit(request, lambda: _call(loop, over.set))
        waits = [asyncio.ensure_future(one) for one in (over.wait(), _has_left(request))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            if not followed.ended:
                loop.run_in_executor(None, self._service.cancel, followed.id)  # it ends a process, which takes a while
        return _answer_of(followed)

    async def send(self, request: Request) -> Response:
        """Send a request; its state and its events are at the links of the answer."""
        followed = await self._submit(request, lambda: None)
        links = links_of(followed.id)
        return _json(Accepted(id=followed.id, place=followed.place, links=links), 202, {"Location": links["self"]})

    async def _submit(self, request: Request, over: Callable[[], None]) -> Followed:
        given = await self._taking.take(request)
        followed = Followed(given.id, over)
        try:
            await asyncio.to_thread(self._service.submit, given, followed.tell)
        except asyncio.CancelledError:
            asyncio.get_running_loop().run_in_executor(None, self._service.cancel, given.id)
            raise
        self._book.add(followed)
        return followed

    async def state(self, id: Id) -> Response:
        """Where a request stands, and its result."""
        return _json(state_of(id, self._followed(id).newest))

    async def events(self, id: Id, request: Request) -> Response:
        """All events of a request, those from before, too: queued, working, line; result, failed, cancelled; end."""
        return sse_response(self._followed(id).topic.stream(last_seen(request)))

    async def cancel(self, id: Id) -> Response:
        """Take a request back, waiting or in work."""
        followed = self._followed(id)
        taken = not followed.ended and await asyncio.to_thread(self._service.cancel, id)
        if not taken and followed.ended:  # else it is just being handed to a worker, and ends there
            raise HTTPException(409, "this request has ended already")
        return Response(status_code=204)

    def _followed(self, id: str) -> Followed:
        followed = self._book.get(id)
        if followed is None:
            raise HTTPException(404, "there is no such request, or it is kept no longer")
        return followed

    async def file(self, id: Id, number: Number) -> Response:
        """A file of a result, whole or a range of it."""
        found = await asyncio.to_thread(self._file, id, number)
        if found is None:
            raise HTTPException(404, "there is no such file, or it is kept no longer")
        return FileResponse(found.path, media_type=found.media, headers=headers_of(found))

    def _file(self, id: str, number: int) -> OutFile | None:
        found = self._service.file(id, number)
        return found if found is not None and os.path.isfile(found.path) else None

    async def health(self) -> Response:
        """How the server does: its state, its workers, who waits."""
        return _json(self._service.health())

    async def not_accepted(self, _: Request, error: Exception) -> Response:
        """What may be sent again: later, or to another server."""
        if self._service.health()["state"] == "ending":
            return _json(Problem(problem=str(error)), 503)
        return _json(Problem(problem=str(error)), 429, {"Retry-After": str(RETRY_S)})


def headers_of(file: OutFile) -> dict[str, str]:
    """With which a file is sent: a browser shows what it can only show, and runs nothing. Pure."""
    shown = file.media.startswith(INLINE) and not file.media.startswith("image/svg")
    name = quote(file.name, safe="", errors="replace")
    return {
        "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
        "Content-Security-Policy": "sandbox; frame-ancestors 'none'",
    }


def _answer_of(followed: Followed) -> Response:
    event = followed.newest
    if isinstance(event, Result):
        return _json(done_of(followed.id, event))
    if isinstance(event, Failed):
        return _json(event, status_of(event))
    return _json(Problem(problem="this request was cancelled"), 409)


async def _has_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:  # the server has ended
        return


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json_of(value), status, headers, "application/json")


# -- what is not done, and why


async def _unfit(_: Request, error: Exception) -> Response:
    return _json(Problems(problems=error.problems if isinstance(error, Unfit) else {}), 422)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(Problem(problem=str(error.detail)), error.status_code, dict(error.headers or {}))


async def _no_such(_: Request, error: Exception) -> Response:
    """A path whose names are none of ours."""
    return _json(Problem(problem="there is no such request or file"), 404)


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Any]] = {
    Unfit: _unfit,
    HTTPException: _refused,
    RequestValidationError: _no_such,
}
