"""From the body of an HTTP request to what a request of the service gives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hpcurate.serving.served import Given, Limits, Served, Upload
from hpcurate.serving.service import Answers, NotAccepted, Unfit
from hpcurate.web.uploads import read_body, take_form

__all__ = ["Taking", "given_of", "most_body"]

MIB = 2**20
MOST_JSON = 8 * MIB


class Typed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request as JSON."""

    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


def most_body(limits: Limits) -> int:
    """Bytes of one HTTP request: its files, and what a form has beside them. Pure."""
    return limits.upload_mb * MIB + MOST_JSON


def given_of(
    served: Served, request: str, folder: str, fields: Mapping[str, str], files: Mapping[str, Upload]
) -> Given:
    """A form's fields: those that are parameters, and the others, which the service judges. Pure."""
    names = {field.key for field in served.parameters}
    parameters = {key: text for key, text in fields.items() if key in names}
    inputs = {key: text for key, text in fields.items() if key not in names}
    return Given(id=request, folder=folder, inputs=inputs, parameters=parameters, files=dict(files))


class Taking:
    """Takes requests up, a bounded number at once: each may have files of the full size."""

    def __init__(self, service: Answers) -> None:
        self._service, self._limits, self._now = service, service.served.limits, 0

    async def take(self, request: Request) -> Given:
        """A request with its files in a folder, to be submitted.

        Raises HTTPException, Unfit, NotAccepted, ClientDisconnect.
        """
        if self._now >= self._limits.queue + self._limits.workers:
            raise NotAccepted(f"{self._now} requests are being sent already; try later")
        self._now += 1
        try:
            name, folder = await asyncio.to_thread(self._service.folder_for)
            try:
                return await self._read(request, name, folder)
            except BaseException:
                await asyncio.to_thread(self._service.discard, name)
                raise
        except OSError as error:
            raise HTTPException(507, f"there is no room for a request: {error.strerror}") from None
        finally:
            self._now -= 1

    async def _read(self, request: Request, name: str, folder: str) -> Given:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            fields, files = await take_form(request, folder, most_body(self._limits))
            return given_of(self._service.served, name, folder, fields, files)
        typed = typed_of(await read_body(request, MOST_JSON))
        return Given(id=name, folder=folder, inputs=typed.inputs, parameters=typed.parameters)


def typed_of(body: bytes) -> Typed:
    """JSON of a request. Pure; raises Unfit."""
    try:
        return msgspec.json.decode(body, type=Typed)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors
        raise Unfit({"body": f'expected {{"inputs": {{…}}, "parameters": {{…}}}}: {error}'}) from None
