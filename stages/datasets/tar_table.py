"""The table of contents of a tar, read header by header: contents are skipped, and memory does not grow with them.

`tarfile` reads the headers (ustar, GNU long names, PAX). What it passes over is said here: it takes a damaged header
for the end of the archive.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = tarfile.BLOCKSIZE
LONGEST_NAME = 2**20
"""Bytes of a header that only describes the next one: names and attributes. A damaged one may claim gigabytes."""
PADDING = 2**20
"""Bytes of zeros behind the end mark that are looked at: another tar may have been appended there."""
_DESCRIBING = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_COMPRESSED = {b"\x1f\x8b": "gzip -d", b"BZh": "bzip2 -d", b"\xfd7zXZ\x00": "xz -d", b"\x28\xb5\x2f\xfd": "zstd -d"}
"""How compressed files begin, and what unpacks them."""


NO_END = "no end mark at byte {}: the tar may be cut off"


class TarError(ValueError):
    """A file that is no tar whose members can be read where they are; the message has the fault."""


class Place(NamedTuple):
    """A member that is a file."""

    name: str
    """Its path in the tar; undecodable bytes are surrogate-escaped."""
    offset: int
    """Where its bytes begin in the tar."""
    size: int
    """In bytes."""
    mtime_ns: int


class LeftOut(NamedTuple):
    """What is no task."""

    reason: str
    size: int = 0
    """In bytes."""


def table_of(path: str) -> Iterator[Place | LeftOut]:
    """All members in the order of the tar, as far as it is whole: the last entry says where it is damaged.

    Folders are nothing. Raises TarError for what is no tar at all, or compressed; OSError.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        refuse_compressed(file.read(8))
        file.seek(0)
        yield from _members(file, size)


def refuse_compressed(start: bytes) -> None:
    """Raise TarError for what begins like a compressed file."""
    for mark, command in _COMPRESSED.items():
        if start.startswith(mark):
            raise TarError(
                f"is compressed: its members have no place in the file; unpack the tar itself once ({command} FILE), "
                "its members need not be"
            )


class _Header(tarfile.TarInfo):
    """A header that claims no more than it can have."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in _DESCRIBING and found.size > LONGEST_NAME):
            raise tarfile.ReadError(f"a header claims {found.size} bytes")
        return found


_FAULTS = (tarfile.TarError, ValueError, OverflowError, KeyError, IndexError, TypeError, EOFError)
"""What `tarfile` raises for damaged headers; not OSError, which is the filesystem's."""


def _members(file: BinaryIO, size: int) -> Iterator[Place | LeftOut]:
    try:
        tar = tarfile.TarFile(fileobj=file, tarinfo=_Header, encoding="utf-8", errors="surrogateescape")
    except _FAULTS as error:
        raise TarError(f"is no tar: {error}" if size else "is empty") from None
    at = 0
    while True:
        try:
            info = tar.next()
        except _FAULTS:
            yield LeftOut(f"damaged at byte {at}", size - at)
            return
        if info is None:
            yield from _end(file, at, size)
            return
        vars(tar)["members"] = []  # else it keeps all headers
        before, at = at, tar.offset
        if _last_byte(info, at) > size or at <= before:
            where = f"cut off at byte {size}, within a member" if at > before else f"damaged at byte {before}"
            yield LeftOut(where, size - before)
            return
        if not info.isdir():
            yield _entry(info)
        if at > size:  # what fills the block of the last member is missing
            yield LeftOut(NO_END.format(size))
            return


def _last_byte(info: tarfile.TarInfo, next_header: int) -> int:
    """Behind its bytes: what fills its last block may be missing. Those of a sparse file are fewer than its size."""
    return info.offset_data + info.size if info.isreg() and not info.issparse() else next_header


def _entry(info: tarfile.TarInfo) -> Place | LeftOut:
    name = posixpath.normpath(info.name.lstrip("/")) if info.name.strip("/") else ""
    fault = _fault(info) or name_fault(name)
    if fault:
        return LeftOut(fault, info.size if info.isreg() else 0)
    seconds = info.mtime if abs(info.mtime) < 2**33 else 0  # beyond nanoseconds in 64 bits, or no number
    return Place(name, info.offset_data, info.size, int(seconds) * 10**9)


def _fault(info: tarfile.TarInfo) -> str:
    """Why a member has no bytes of its own that could be read. Pure."""
    if info.issparse():
        return "a sparse file"
    if info.islnk() or info.issym():
        return "a link"
    return "" if info.isreg() else "a device, a pipe, or of an unknown type"


def name_fault(name: str) -> str:
    """Why a member cannot have its name: outputs are called by it. Pure."""
    parts = name.split("/")
    if not name or "\0" in name or ".." in parts:
        return "a name that leads out of the tar, or none"
    return "hidden" if any(part.startswith(".") for part in parts) else ""


def _end(file: BinaryIO, at: int, size: int) -> Iterator[LeftOut]:
    """What is wrong with the end of a tar: blocks of zeros belong there, and nothing else."""
    file.seek(at)
    block = file.read(BLOCK)
    if not block.strip(b"\0"):
        more = file.read(PADDING).strip(b"\0")
        if not block:
            yield LeftOut(NO_END.format(at))
        elif more:
            yield LeftOut(f"more than zeros behind the end mark at byte {at}", size - at)
    else:
        where = f"cut off at byte {size}, within a header" if len(block) < BLOCK else f"damaged at byte {at}"
        yield LeftOut(where, size - at)
