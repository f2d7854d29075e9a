"""A small app for tests of servers: what it is given, a form, a stream, a long wait."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from hpcurate.web.events import Topic, last_seen, sse_response
from hpcurate.web.uploads import take_form

MOST = 3 * 2**20


def little_app(topic: Topic, folder: Path) -> FastAPI:
    """Forms of up to 3 MiB land below `folder`."""
    app = FastAPI(openapi_url=None)
    app.state.seen, app.state.left = [], asyncio.Event()

    @app.get("/")
    async def page(request: Request) -> Response:
        app.state.seen.append(str(request.url))
        return Response("the page", media_type="text/html", headers={"Cache-Control": "max-age=60"})

    @app.post("/form")
    async def form(request: Request) -> Response:
        fields, uploads = await take_form(request, tempfile.mkdtemp(dir=folder), MOST)
        return JSONResponse({"fields": fields, "files": {k: msgspec.to_builtins(v) for k, v in uploads.items()}})

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    @app.get("/events")
    async def events(request: Request) -> Response:
        return sse_response(topic.stream(last_seen(request)))

    @app.get("/silence")
    async def silence() -> Response:
        async def nothing() -> AsyncIterator[bytes]:
            try:
                await asyncio.Event().wait()
                yield b""
            finally:
                app.state.left.set()

        return sse_response(nothing())

    @app.get("/wait")
    async def wait() -> Any:
        topic.publish("waits", None)
        await asyncio.to_thread(app.state.go.wait)
        return "done"

    return app
