"""The page of a service, by Gradio: made from what is served, and mounted into an app of ours behind an allow-list."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hpcurate.errors import UserError
from hpcurate.serving.page_gate import Gate
from hpcurate.serving.service import Answers

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["mount_page"]


def mount_page(app: FastAPI, service: Answers, path: str = "/page") -> FastAPI:
    """Add the page to the endpoint's app, under `path`. Raises UserError where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("gradio is not installed, which the page needs; type pip install 'hpcurate[gradio]'")
    from hpcurate.serving.page_blocks import ServicePage

    page = ServicePage(service)
    page.mount(app, path)
    mounted: Any = app.router.routes[-1]
    mounted.app = Gate(mounted.app, page.uploads, page.functions, page.left)
    _at_end(app, page.uploads.close)
    return app


def _at_end(app: FastAPI, call: Callable[[], None]) -> None:
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def with_end(of: Any) -> AsyncIterator[Any]:
        async with lifespan(of) as state:
            yield state
        call()

    app.router.lifespan_context = with_end
