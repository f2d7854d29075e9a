"""A request of the page, from the button to its end: what is typed is read, sent, and followed event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs

from hpcurate.serving.page_fields import LEFT_OUT, Unreadable, changed, value_of
from hpcurate.serving.page_uploads import Uploads, link
from hpcurate.serving.page_view import View, after
from hpcurate.serving.served import Event, Field, Given, Upload
from hpcurate.serving.service import Answers, NotAccepted, Unfit

__all__ = ["Read", "Runs", "Shot", "read"]

BETWEEN_S = 0.1
"""Between two changes of the page while many lines come; the first after a pause comes at once."""
GONE = "the file is no longer kept here: choose it once more"


@attrs.frozen
class Read:
    """What was typed, as far as the page can read it."""

    inputs: dict[str, Any]
    parameters: dict[str, Any]
    files: dict[str, str]
    """Field → name of an upload."""
    problems: dict[str, str]


@attrs.frozen
class Shot:
    """What the page shows at one moment."""

    view: View
    request: str = ""
    problems: Mapping[str, str] = attrs.field(factory=dict)
    """Field → why the request was not sent."""
    refusal: str = ""
    """Why it was not taken, though nothing is wrong with it."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.view.over or self.problems or self.refusal)


def read(inputs: Sequence[Field], parameters: Sequence[Field], values: Sequence[Any]) -> Read:
    """Values of the components, in the order of the fields. Pure."""
    said: dict[str, Any] = {}
    files: dict[str, str] = {}
    problems: dict[str, str] = {}
    for field, raw in zip((*inputs, *parameters), values, strict=True):
        if field.kind == "file":
            files |= {field.key: raw} if isinstance(raw, str) and raw else {}
            continue
        try:
            value = value_of(field, raw)
        except Unreadable as error:
            problems[field.key] = str(error)
        else:
            said |= {} if value is LEFT_OUT else {field.key: value}
    names = {field.key for field in inputs}
    others = {key: value for key, value in said.items() if key not in names}
    return Read({key: said[key] for key in said if key in names}, changed(parameters, others), files, problems)


class Runs:
    """Requests of all browsers; used in the event loop only."""

    def __init__(
        self, service: Answers, uploads: Uploads, inputs: Sequence[Field], parameters: Sequence[Field]
    ) -> None:
        self._service, self._uploads = service, uploads
        self._inputs, self._parameters = tuple(inputs), tuple(parameters)
        self._running: dict[str, set[str]] = {}
        """Session → its requests that have not ended."""
        self._taken_back: set[str] = set()
        """Of these, maybe before they were sent."""

    async def run(self, session: str, values: Sequence[Any]) -> AsyncIterator[Shot]:
        """What the page shows, from now to the end. Whoever stops reading cancels it."""
        view = View(self._service.served.stages)
        typed = read(self._inputs, self._parameters, values)
        uploads = {field: self._uploads.used(name, session) for field, name in typed.files.items()}
        problems = {**typed.problems, **{field: GONE for field, upload in uploads.items() if upload is None}}
        if problems:
            yield Shot(view, problems=problems)
            return
        yield Shot(view)
        events: asyncio.Queue[Event] = asyncio.Queue()
        request, folder = self._service.folder_for()
        self._running.setdefault(session, set()).add(request)
        try:
            await self._send(typed, {f: u for f, u in uploads.items() if u is not None}, request, folder, events)
            async for shot in self._followed(Shot(view, request), events):
                yield shot
        except Unfit as unfit:
            yield Shot(view, problems=unfit.problems or {"request": str(unfit)})
        except NotAccepted as full:
            yield Shot(view, refusal=str(full))
        except Exception as error:  # of a stage's constructor, or a bug: the page stays usable all the same
            yield Shot(view, refusal=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._forget(session, request)

    async def _send(
        self, typed: Read, uploads: Mapping[str, Upload], request: str, folder: str, events: asyncio.Queue[Event]
    ) -> None:
        """Have it checked and queued. Raises Unfit, NotAccepted."""
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(events.put_nowait, event)

        def submit() -> None:
            try:
                files = _linked(uploads, folder)
            except BaseException:
                self._service.discard(request)
                raise
            given = Given(id=request, folder=folder, inputs=typed.inputs, parameters=typed.parameters, files=files)
            self._service.submit(given, tell)

        sending = asyncio.ensure_future(asyncio.to_thread(submit))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            sending.add_done_callback(lambda sent: sent.exception() or self._service.cancel(request))
            raise
        if request in self._taken_back:
            self._service.cancel(request)

    async def _followed(self, shot: Shot, events: asyncio.Queue[Event]) -> AsyncIterator[Shot]:
        loop = asyncio.get_running_loop()
        last = -BETWEEN_S
        try:
            while not shot.over:
                came = [await events.get()]
                await asyncio.sleep(max(last + BETWEEN_S - loop.time(), 0.0))
                while not events.empty():
                    came.append(events.get_nowait())
                shot, last = attrs.evolve(shot, view=after(shot.view, came)), loop.time()
                yield shot
        finally:
            if not shot.over:
                self._service.cancel(shot.request)

    def _forget(self, session: str, request: str) -> None:
        self._taken_back.discard(request)
        running = self._running.get(session, set())
        running.discard(request)
        if not running:
            self._running.pop(session, None)

    def cancel(self, session: str) -> None:
        """Take back whatever a browser has sent and has no answer to."""
        for request in tuple(self._running.get(session, ())):
            self._taken_back.add(request)
            self._service.cancel(request)


def _linked(uploads: Mapping[str, Upload], folder: str) -> dict[str, Upload]:
    return {field: link(upload, folder, number) for number, (field, upload) in enumerate(uploads.items())}
