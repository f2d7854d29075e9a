"""Files that pages have uploaded: each in a folder of the service's own, until it is old or its page is left."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.serving.served import Upload
from hpcurate.serving.service import Answers

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Progress", "Uploads", "counted", "link", "media_of", "name_in"]

RECORD = 2**20
"""Bytes of a form beside its file."""


@attrs.define(eq=False)
class _Kept:
    folder: str
    """Id of the request's folder that holds it; that request is never submitted."""
    upload: Upload
    session: str | None = None
    """Of the page that has used it first: no other may."""
    timer: asyncio.TimerHandle | None = None
    readers: int = 0
    """Answers that still send it."""


class Uploads:
    """Of all pages of a service; used in the event loop only."""

    def __init__(self, service: Answers) -> None:
        self._service = service
        limits = service.served.limits
        self._most_bytes, self._keep_s = limits.upload_mb * 2**20 + RECORD, limits.keep_s
        self._most, self._now = limits.queue + limits.workers, 0
        """Uploads that are kept: the oldest goes first, a request that has it goes on; and those that come now."""
        self._kept: dict[str, _Kept] = {}
        """By name: 128 random bits, which is what a page has instead of a path."""

    async def take(self, request: Request) -> list[str]:
        """Store the file of a form; its name. Raises what `take_form` raises."""
        from starlette.exceptions import HTTPException

        if self._now >= self._most:
            raise HTTPException(429, "as many files are being uploaded as may; try later")
        self._now += 1
        try:
            return await self._take(request)
        except OSError as error:
            raise HTTPException(507, f"there is no room for a file: {error.strerror}") from None
        finally:
            self._now -= 1

    async def _take(self, request: Request) -> list[str]:
        from hpcurate.web.uploads import take_form

        folder_id, folder = self._service.folder_for()
        try:
            _, files = await take_form(request, folder, self._most_bytes)
        except BaseException:
            self._service.discard(folder_id)
            raise
        if len(files) != 1:
            self._service.discard(folder_id)
            return []
        return [self._keep(folder_id, upload) for upload in files.values()]

    def _keep(self, folder: str, upload: Upload) -> str:
        name = secrets.token_hex(16) + os.path.splitext(upload.path)[1]
        while len(self._kept) >= self._most:
            self._drop(next(iter(self._kept)))
        self._kept[name] = _Kept(folder, upload)
        self._touch(name)
        return name

    def _touch(self, name: str) -> None:
        kept = self._kept[name]
        if kept.timer is not None:
            kept.timer.cancel()
        kept.timer = asyncio.get_running_loop().call_later(self._keep_s, self._drop, name)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            if kept.timer is not None:
                kept.timer.cancel()
            self._discard(kept)

    def _discard(self, kept: _Kept) -> None:
        if not kept.readers and kept not in self._kept.values():
            self._service.discard(kept.folder)

    @contextmanager
    def reading(self, name: str) -> Iterator[Upload | None]:
        """An upload by its name, which stays in its place for so long."""
        kept = self._kept.get(name)
        if kept is None:
            yield None
            return
        kept.readers += 1
        try:
            yield self.named(name)
        finally:
            kept.readers -= 1
            self._discard(kept)

    def named(self, name: str) -> Upload | None:
        """An upload by its name."""
        kept = self._kept.get(name)
        return kept.upload if kept is not None and os.path.isfile(kept.upload.path) else None

    def used(self, name: str, session: str) -> Upload | None:
        """An upload that this session may use: its own, or one that nobody has used yet."""
        kept = self._kept.get(name)
        if kept is None or kept.session not in (None, session):
            return None
        kept.session = session
        self._touch(name)
        return self.named(name)

    def left(self, session: str) -> None:
        """A page is gone: nobody asks for its uploads again."""
        for name in [name for name, kept in self._kept.items() if kept.session == session]:
            self._drop(name)

    def close(self) -> None:
        """Remove them all."""
        for name in list(self._kept):
            self._drop(name)


def media_of(upload: Upload) -> str:
    """Its media type, by its suffix."""
    return mimetypes.guess_type(upload.path)[0] or "application/octet-stream"


def link(upload: Upload, folder: str, number: int) -> Upload:
    """The upload under a name of ours in a request's folder: the same file, or a copy on another filesystem."""
    path = os.path.join(folder, f"{number}{os.path.splitext(upload.path)[1]}")
    try:
        os.link(upload.path, path)
    except OSError:
        shutil.copyfile(upload.path, path)
    return Upload(path=path, name=upload.name, size=upload.size)


class Progress:
    """How far an upload has come, for the page that makes it."""

    def __init__(self) -> None:
        self._name, self._bytes, self._over = "", 0, False
        self._new = asyncio.Event()

    def came(self, chunk: bytes) -> None:
        """More of the body."""
        self._name = self._name or name_in(chunk)
        self._bytes += len(chunk)
        self._new.set()

    def end(self) -> None:
        """No more comes."""
        self._over = True
        self._new.set()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """As Gradio's part in the browser wants them: bytes since the last one."""
        while True:
            await self._new.wait()
            self._new.clear()
            size, self._bytes = self._bytes, 0
            if size:
                yield {"msg": "update", "orig_name": self._name, "chunk_size": size}
            if self._over:
                yield {"msg": "done"}
                return


def name_in(chunk: bytes) -> str:
    """The name of the file that a form begins with."""
    found = re.search(rb'filename="([^"\r\n]{1,300})"', chunk[:4096])
    return found[1].decode(errors="replace") if found else ""


def counted(receive: Any, progress: Progress) -> Any:
    """An ASGI `receive` that says how much came."""

    async def receiving() -> Any:
        message = await receive()
        progress.came(message.get("body", b""))
        return message

    return receiving
