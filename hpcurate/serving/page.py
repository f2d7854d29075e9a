"""The page of a service, by Gradio: made from what is served, and mounted into an app of ours behind an allow-list."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from hpcurate.errors import UserError
from hpcurate.serving.page_gate import Gate
from hpcurate.serving.service import Answers

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["mount_page"]

FOLDER = "GRADIO_TEMP_DIR"
"""Names Gradio's folder."""


def mount_page(app: FastAPI, service: Answers, path: str = "/page") -> FastAPI:
    """Add the page to the endpoint's app, under `path`. Raises UserError where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("gradio is not installed, which the page needs; type pip install 'hpcurate[gradio]'")
    with _own_folder():
        from hpcurate.serving.page_blocks import ServicePage

        page = ServicePage(service)
        page.mount(app, path)
    mounted: Any = app.router.routes[-1]
    mounted.app = Gate(mounted.app, page.uploads, page.functions, page.left)
    _at_end(app, page.uploads.close)
    return app


@contextmanager
def _own_folder() -> Iterator[None]:
    """Gradio makes a folder when it starts, in `/tmp/gradio` of all users of the machine; it needs none of it later."""
    before = os.environ.get(FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
            os.environ |= {FOLDER: before} if before is not None else {}


def _at_end(app: FastAPI, call: Callable[[], None]) -> None:
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def with_end(of: Any) -> AsyncIterator[Any]:
        async with lifespan(of) as state:
            yield state
        call()

    app.router.lifespan_context = with_end
