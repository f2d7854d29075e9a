"""Forms with files: streamed to a folder under names of ours, bounded in every respect."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

__all__ = ["Upload", "read_body", "shown_name", "suffix_of", "take_form"]

MOST_PARTS = 1000
MOST_TEXT = 8 * 2**20
"""Bytes of all values together that are no files."""
MOST_HEAD = 4096
"""Bytes of the headers of one part."""
BLOCK = 2**20
"""Bytes that are parsed and written at once, in a thread."""
T = TypeVar("T")


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was taken up: it lies in the request's folder under a name of ours."""

    path: str
    name: str
    """As its sender called it, for people alone: never a path of ours."""
    size: int
    """Bytes."""


def suffix_of(name: str) -> str:
    """`.mp4` of `a/b.MP4`: what of a sender's name ours may have, nothing if it is unusual. Pure."""
    found = re.search(r"\.([A-Za-z0-9]{1,8})\Z", name)
    return f".{found[1].lower()}" if found else ""


def shown_name(name: str) -> str:
    """A sender's name as it can be shown: its last part, printable, of 120 characters at most. Pure."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(char if char.isprintable() else "�" for char in last)
    return clean if len(clean) <= 120 else f"{clean[:60]}…{clean[-59:]}"


async def take_form(request: Request, folder: str, most_bytes: int) -> tuple[dict[str, str], dict[str, Upload]]:
    """(field → text, field → file) of a form; files become 0.mp4, 1.wav … of the folder, which must be there.

    Raises HTTPException: 413 over `most_bytes` in all, 415 for what is no form, 400 for one that is cut off or broken,
    507 where there is no room; ClientDisconnect. Then none of its files is left.
    """
    _refuse_declared(request, most_bytes)
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() == "application/x-www-form-urlencoded":
        return _fields_of(await read_body(request, min(most_bytes, MOST_TEXT))), {}
    boundary = re.search(r'boundary="?([^";,\s]{1,200})"?', rest)
    if kind.strip().lower() != "multipart/form-data" or boundary is None:
        _refuse(415, "expected a form: multipart/form-data with its boundary")
    form = _Form(folder, boundary[1])
    try:
        await _feed(request, form, most_bytes)
    except OSError as error:
        form.remove()
        _refuse(507, f"the files cannot be stored: {error.strerror}")
    except BaseException:
        form.remove()
        raise
    return form.fields, form.uploads


async def read_body(request: Request, most_bytes: int) -> bytes:
    """All of a small body. Raises HTTPException (413), ClientDisconnect."""
    _refuse_declared(request, most_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            _too_much(most_bytes)
    return bytes(body)


def _refuse_declared(request: Request, most_bytes: int) -> None:
    """Before anything of it is read."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most_bytes:
        _too_much(most_bytes)


def _too_much(most_bytes: int) -> NoReturn:
    _refuse(413, f"more than {most_bytes} bytes are not taken")


def _refuse(status: int, text: str) -> NoReturn:
    from starlette.exceptions import HTTPException

    raise HTTPException(status, text)


def _fields_of(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARTS)
    except ValueError:
        _refuse(400, f"a form has at most {MOST_PARTS} fields")
    fields = dict(pairs)
    if len(fields) < len(pairs):
        _refuse(400, "a field of the form is there twice")
    return fields


async def _feed(request: Request, form: _Form, most_bytes: int) -> None:
    """Parse and write in a thread: neither is a matter of moments, on a shared filesystem least of all."""
    block, taken = bytearray(), 0
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > most_bytes:
            _too_much(most_bytes)
        block += chunk
        if len(block) >= BLOCK:
            await _in_thread(form.write, bytes(block))
            block.clear()
    await _in_thread(form.finish, bytes(block))


async def _in_thread(work: Callable[[bytes], T], block: bytes) -> T:
    """Also who is cancelled waits: nothing may still be written while its files are removed."""
    task = asyncio.ensure_future(asyncio.to_thread(work, block))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await task
        raise


class _Form:
    """What has come of a form."""

    def __init__(self, folder: str, boundary: str) -> None:
        from python_multipart.multipart import MultipartParser

        self.fields: dict[str, str] = {}
        self.uploads: dict[str, Upload] = {}
        self._folder = folder
        self._made: list[str] = []
        self._header, self._head = (b"", b""), 0
        self._headers: dict[bytes, bytes] = {}
        self._field, self._name = "", ""
        self._text, self._texts, self._parts = bytearray(), 0, 0
        self._file: BinaryIO | None = None
        self._dropped = self._complete = False
        self._parser = MultipartParser(boundary.encode("latin-1"), self._calls())

    def _calls(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def write(self, block: bytes) -> None:
        """Parse, and write what belongs to files. Raises HTTPException, OSError."""
        from python_multipart.exceptions import FormParserError

        try:
            self._parser.write(block)
        except FormParserError:
            _refuse(400, "the form is broken: it is no multipart/form-data")

    def finish(self, block: bytes) -> None:
        """The last block."""
        self.write(block)
        if not self._complete:
            _refuse(400, "the form is cut off: its last boundary is missing")

    def remove(self) -> None:
        """Leave nothing."""
        if self._file is not None:
            self._file.close()
        for path in self._made:
            with suppress(FileNotFoundError):
                os.unlink(path)

    # -- what the parser finds

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            _refuse(400, f"a form has at most {MOST_PARTS} fields")
        self._head, self._header, self._headers = 0, (b"", b""), {}
        self._text, self._dropped = bytearray(), False

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + self._of_head(data, start, end), b""

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + self._of_head(data, start, end)

    def _of_head(self, data: bytes, start: int, end: int) -> bytes:
        self._head += end - start
        if self._head > MOST_HEAD:
            _refuse(400, f"a field of the form has more than {MOST_HEAD} bytes of headers")
        return data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = b"", b""

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            _refuse(400, "a part of the form has no name")
        self._field = options[b"name"].decode(errors="replace")
        if self._field in self.fields or self._field in self.uploads:
            _refuse(400, f"{shown_name(self._field)}: is there twice")
        if b"filename" in options:
            self._name = options[b"filename"].decode(errors="replace")
            self._open()

    def _open(self) -> None:
        if not self._name:  # what a browser sends where no file was chosen
            self._dropped = True
            return
        path = os.path.join(self._folder, f"{len(self._made)}{suffix_of(self._name)}")
        self._made.append(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif not self._dropped:
            self._texts += end - start
            if self._texts > MOST_TEXT:
                _refuse(413, f"more than {MOST_TEXT} bytes of text are not taken")
            self._text += data[start:end]

    def _part_end(self) -> None:
        if self._file is not None:
            size = self._file.tell()
            self._file.close()
            self._file = None
            path, name = self._made[-1], shown_name(self._name)
            self.uploads[self._field] = Upload(path=path, name=name, size=size)
        elif not self._dropped:
            self.fields[self._field] = self._text.decode(errors="replace")

    def _end(self) -> None:
        self._complete = True
