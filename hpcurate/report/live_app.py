"""The page of a run, live, over HTTP: `/` is its latest rendering, `/events` what is sent after each look.

Imported by `hpcurate report --serve` only: FastAPI is in the extra `serve`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from hpcurate.report.live import LivePage
from hpcurate.web.events import Topic, last_seen, sse_response

BLOCK = 256 * 1024
"""Bytes of a page that are in memory at once."""


def live_app(live: LivePage, topic: Topic) -> FastAPI:
    """Its two answers. `topic` has what the page's looks tell."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def page() -> StreamingResponse:
        file = live.page()
        headers = {"Content-Length": str(os.fstat(file.fileno()).st_size), "Cache-Control": "no-store"}
        return StreamingResponse(_blocks(file), media_type="text/html; charset=utf-8", headers=headers)

    @app.get("/events")
    async def events(request: Request) -> StreamingResponse:
        return sse_response(_watching(live, topic.stream(last_seen(request))))

    return app


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block


async def _watching(live: LivePage, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream; as long as somebody reads it, the run is looked at."""
    with live.watched():
        async for block in stream:
            yield block
