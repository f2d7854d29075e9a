"""In front of Gradio: an ASGI app that lets through what a page of ours asks for, and answers for all files itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

from hpcurate.serving.page_routes import MOST_BODY, Refused, Route, checked_join, policy, route_of, with_nonce
from hpcurate.serving.page_uploads import Progress, Uploads, counted, media_of
from hpcurate.serving.page_view import player
from hpcurate.serving.served import Upload
from hpcurate.web.door import App, Message, Receive, Scope, Send, answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import FileResponse

__all__ = ["Gate"]

DROPPED_HEADERS = (b"x-forwarded-", b"forwarded", b"x-gradio-", b"x-direct-url", b"referer")
"""Gradio writes addresses into its page from what these say."""
MOST_PROGRESSES = 100
KEEP = b"private, max-age=31536000, immutable"


class Gate:
    """All that comes to the page. `left(session)` is called when its browser has gone away."""

    def __init__(self, app: App, uploads: Uploads, fields: Mapping[int, int], left: Callable[[str], None]) -> None:
        """`fields`: functions of the page → how many values they take."""
        self._app, self._uploads, self._fields, self._left = app, uploads, fields, left
        self._progresses: dict[str, Progress] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        route = route_of(scope["method"], path, scope["query_string"].decode("latin-1"))
        try:
            await self._answer(route, scope, receive, send)
        except Refused as refused:
            await _say(send, refused.status, refused.text)

    async def _answer(self, route: Route | None, scope: Scope, receive: Receive, send: Send) -> None:
        if route is None:
            raise Refused(404, "there is nothing at this place")
        inner: Scope = {**scope, "query_string": route.query.encode(), "headers": _kept(scope["headers"])}
        if route.kind == "page":
            await self._page(inner, receive, send)
        elif route.kind == "asset":
            await self._app(inner, receive, _kept_by_browser(send))
        elif route.kind in ("data", "heartbeat"):
            await self._followed(route, inner, receive, send)
        else:
            await self._ours(route, inner, receive, send)

    async def _ours(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        request = Request(scope, receive)
        if route.kind == "join":
            body = checked_join(await _body(request), self._fields, self._may_use)
            await self._app(_sized(scope, body), _given(body, receive), send)
        elif route.kind == "upload":
            await self._upload(route.name, scope, receive, send)
        elif route.kind == "progress":
            await self._progress(route.name, scope, receive, send)
        else:
            await self._file(route.name, scope, receive, send)

    def _may_use(self, name: str, session: str) -> bool:
        return self._uploads.used(name, session) is not None

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's HTML, whose scripts are ours."""
        start, body = await _whole(self._app, {**scope, "method": "GET"}, receive)
        nonce = secrets.token_urlsafe(16)
        headers = [("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy(nonce))]
        await answer(send, start, with_nonce(body.decode(), nonce), [*headers, ("cache-control", "no-store")])

    async def _followed(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """A stream of the page: when its heart no longer beats, its browser has gone away."""
        try:
            await self._app(scope, receive, send)
        finally:
            if route.kind == "heartbeat":
                self._left(route.name)
                self._uploads.left(route.name)

    async def _upload(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect, Request

        progress = self._progress_of(name)
        try:
            names = await self._uploads.take(Request(scope, counted(receive, progress)))
        except HTTPException as error:
            raise Refused(error.status_code, error.detail) from None
        except ClientDisconnect:
            return
        finally:
            progress.end()
        if not names:
            raise Refused(400, "one file was expected")
        await answer(send, 200, json.dumps(names), [("content-type", "application/json")])

    def _progress_of(self, name: str) -> Progress:
        while len(self._progresses) >= MOST_PROGRESSES:
            del self._progresses[next(iter(self._progresses))]
        return self._progresses.setdefault(name, Progress())

    async def _progress(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        from hpcurate.web.events import sse_response

        try:
            await sse_response(_events(self._progress_of(name)))(scope, receive, send)
        finally:
            self._progresses.pop(name, None)

    async def _file(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """An upload, for the page that made it: whoever has its name."""
        with self._uploads.reading(name) as upload:
            if upload is None:
                raise Refused(404, "this file is no longer kept")
            await _file_of(upload)(scope, receive, send)


def _file_of(upload: Upload) -> FileResponse:
    """A browser shows what it can only show, and stores the rest."""
    from starlette.responses import FileResponse

    media = media_of(upload)
    shown = player(media) is not None
    return FileResponse(
        upload.path,
        headers={"x-content-type-options": "nosniff", "content-security-policy": "sandbox; default-src 'none'"},
        media_type=media if shown else "application/octet-stream",
        filename=upload.name,
        content_disposition_type="inline" if shown else "attachment",
    )


def _kept_by_browser(send: Send) -> Send:
    """Scripts and styles have a digest in their name or query; some megabytes, maybe through a tunnel."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message = {**message, "headers": [*message["headers"], (b"cache-control", KEEP)]}
        await send(message)

    return sending


async def _events(progress: Progress) -> AsyncIterator[bytes]:
    async for message in progress.messages():
        yield f"data: {json.dumps(message)}\n\n".encode()


def _kept(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if not name.lower().startswith(DROPPED_HEADERS)]


async def _body(request: Request) -> bytes:
    from starlette.exceptions import HTTPException

    from hpcurate.web.uploads import read_body

    try:
        return await read_body(request, MOST_BODY)
    except HTTPException as error:
        raise Refused(error.status_code, error.detail) from None


def _sized(scope: Scope, body: bytes) -> Scope:
    """With the headers of another body."""
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"content-type")]
    sized = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    return {**scope, "headers": [*kept, *sized]}


def _given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that has this body, then what comes: that the client is gone."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await receive()

    return receiving


async def _whole(app: App, scope: Scope, receive: Receive) -> tuple[int, bytes]:
    """(status, body) of an answer; asked for without compression."""
    status, body = 500, bytearray()

    async def keep(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        body.extend(message.get("body", b""))

    plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
    await app({**scope, "headers": plain}, receive, keep)
    return status, bytes(body)


async def _say(send: Send, status: int, text: str) -> None:
    """As Gradio's part in the browser shows it."""
    await answer(send, status, json.dumps({"detail": text, "error": text}), [("content-type", "application/json")])
