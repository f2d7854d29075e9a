"""The form over HTTP, behind the door of `hpcurate.web`.

Imports fastapi: only the verb imports this module, when it serves.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as NotAnswered

from hpcurate.errors import UserError
from hpcurate.form.desk import Desk
from hpcurate.form.pages import ASSETS, POLICY, asset, message_page
from hpcurate.form.runs import Started
from hpcurate.form.watching import Watching
from hpcurate.web.events import sse_response

MOST_BODY = 2 << 20
"""Bytes of a filled-in form."""
MOST_FIELDS = 5000


def app_of(desk: Desk) -> FastAPI:
    """Its routes."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(UserError, partial(_refused, desk))
    app.add_exception_handler(OSError, partial(_refused, desk))
    app.add_exception_handler(NotAnswered, partial(_not_answered, desk))
    _form_routes(app, desk)
    _run_routes(app, desk)

    @app.get("/assets/{name}")
    def assets(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(asset(name), media_type=ASSETS[name])

    return app


def _refused(desk: Desk, request: Request, error: Exception) -> Response:
    return _html(message_page(desk.form, "That did not work", str(error)), 409)


def _not_answered(desk: Desk, request: Request, error: Exception) -> Response:
    status, why = (error.status_code, error.detail) if isinstance(error, NotAnswered) else (500, str(error))
    return _html(message_page(desk.form, "Not here", why), status)


def _form_routes(app: FastAPI, desk: Desk) -> None:
    @app.get("/")
    def empty(again: str = "") -> Response:
        return _html(desk.page(desk.empty(again)))

    @app.get("/preview")
    @app.get("/start")
    def typed() -> Response:
        return RedirectResponse("/", status_code=303)  # an address that was kept: there is nothing to see of it

    @app.post("/preview")
    async def preview(request: Request) -> Response:
        filled = await run_in_threadpool(desk.preview, await _fields(request))
        return _html(await run_in_threadpool(desk.page, filled), 422 if filled.errors else 200)

    @app.post("/start")
    async def start(request: Request) -> Response:
        given = await _fields(request)
        id = await run_in_threadpool(desk.start, given.get("digest", ""))
        if id is None:
            return _html(message_page(desk.form, "Not started", "These values need a dry run first."), 409)
        return RedirectResponse(f"/runs/{id}", status_code=303)


def _run_routes(app: FastAPI, desk: Desk) -> None:
    watching = Watching(desk.sight)

    def known(id: str) -> Started:
        if (started := desk.runs.one(id)) is None:
            raise HTTPException(404, "there is no such start")
        return started

    @app.get("/runs/{id}")
    def run(id: str) -> Response:
        return _html(desk.run_page(known(id)))

    @app.get("/runs/{id}/events")
    async def events(id: str) -> Response:
        known(id)
        return sse_response(watching.stream(id))

    @app.post("/runs/{id}/cancel")
    async def stop(id: str, request: Request) -> Response:
        started, given = known(id), await _fields(request)
        if given.get("confirm") != "yes":
            return _html(message_page(desk.form, "Not cancelled", "Cancelling has to be confirmed."), 409)
        await run_in_threadpool(desk.cancel, started)
        return RedirectResponse(f"/runs/{id}", status_code=303)

    @app.get("/runs/{id}/report")
    def report(id: str) -> Response:
        html = desk.report(known(id))
        if html is None:
            return _html(message_page(desk.form, "No report", "There is no run yet."), 409)
        return Response(html.encode("utf-8", "backslashreplace"), media_type="text/html; charset=utf-8")


def _html(text: str, status: int = 200) -> Response:
    data = text.encode("utf-8", "backslashreplace")
    return HTMLResponse(data, status, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


async def _fields(request: Request) -> dict[str, str]:
    """What a plain form sends."""
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise HTTPException(400, "expected the fields of a form") from None
    return dict(pairs)
