"""An archive as files: a folder, or one tar. Written beside its name and renamed; read to its last byte before use."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import IO, NamedTuple, Protocol, cast

import msgspec

from hpcurate.carry.index import INDEX, Entry, Header, Index, check_name, difference
from hpcurate.errors import StoreError
from hpcurate.store.filesystem import name_once
from hpcurate.system.failpoints import failpoint
from hpcurate.system.processes import nonce

__all__ = ["Checked", "checked", "is_tar", "unpack", "write_archive"]

BLOCK = 1 << 20
MOST_INDEX = 1 << 30
"""Bytes of an index: that of a million shards has half of it."""
TAR = (".tar", ".tar.gz")
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError, ValueError, OverflowError)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def is_tar(path: str) -> bool:
    """Whether an archive of that name is one file. Pure."""
    return path.endswith(TAR)


# -- writing ------------------------------------------------------------------------------------------


class _Writer(Protocol):
    def add(self, name: str, size: int, content: _Readable) -> None: ...

    def close(self) -> None: ...


def write_archive(to: str, header: Header, files: Iterable[tuple[str, str]]) -> Index:
    """Write these files, each as (name in the archive, path), and the index. Raises StoreError where `to` is there.

    Nothing has the name `to` before all of it is written.
    """
    temporary = os.path.join(os.path.dirname(to), f".{os.path.basename(to)}.{nonce()}")
    if os.path.lexists(to):
        raise StoreError(f"{to}: is there already; name another place, or remove it")
    try:
        writer: _Writer = _TarWriter(temporary, zipped=to.endswith(".gz")) if is_tar(to) else _FolderWriter(temporary)
        with closing(writer):
            index = Index(header, tuple(_add(writer, name, path) for name, path in files))
            data = index.to_bytes()
            writer.add(INDEX, len(data), io.BytesIO(data))
        failpoint("export.written")
        _take_name(temporary, to)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary) if is_tar(to) else shutil.rmtree(temporary)
    return index


def _take_name(temporary: str, to: str) -> None:
    if not is_tar(to):
        os.rename(temporary, to)
    elif name_once(temporary, to) is False:
        raise StoreError(f"{to}: another call has written it meanwhile; name another place, or remove it")


def _add(writer: _Writer, name: str, path: str) -> Entry:
    """One file, which must not change meanwhile."""
    with open(path, "rb") as file:
        size, read = os.fstat(file.fileno()).st_size, _Hashed(file)
        try:
            writer.add(name, size, read)
        except tarfile.TarError as error:
            raise StoreError(f"{path}: {error}") from None
        if read.size != size or file.read(1):
            raise StoreError(f"{path}: changed while it was read; export again when nothing writes it")
    return Entry(name, size, read.hexdigest())


class _Hashed:
    """Content as it is read, with its size and digest."""

    def __init__(self, file: _Readable) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self.size += len(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class _FolderWriter:
    """Files below a folder; modes are those of the user's umask."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.mkdir(path)

    def add(self, name: str, size: int, content: _Readable) -> None:
        target = os.path.join(self._path, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb") as file:
            shutil.copyfileobj(content, file, BLOCK)
            _flush(file)

    def close(self) -> None:
        """Nothing is left to do."""


class _TarWriter:
    """One tar, in which nothing says who wrote it, where and when."""

    def __init__(self, path: str, *, zipped: bool) -> None:
        self._end = ExitStack()
        file: IO[bytes] = self._end.enter_context(open(path, "xb"))  # noqa: SIM115 - closed with the stack
        self._end.callback(_flush, file)
        if zipped:
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)
            file = cast("IO[bytes]", self._end.enter_context(packed))
        tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK)  # noqa: SIM115
        self._tar = self._end.enter_context(tar)

    def add(self, name: str, size: int, content: _Readable) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o644
        try:
            self._tar.addfile(member, content)
        except OSError as error:
            if error.errno is None:  # tarfile's own: less came than was announced
                raise tarfile.TarError("changed while it was read; export again when nothing writes it") from None
            raise

    def close(self) -> None:
        self._end.close()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


# -- reading ------------------------------------------------------------------------------------------


class _Member(NamedTuple):
    name: str
    size: int
    content: _Readable


def _members(archive: str) -> Iterator[_Member]:
    """Every file of an archive. Raises StoreError for what is no plain file, and where it is damaged."""
    return _of_tar(archive) if os.path.isfile(archive) else _of_folder(archive)


def _of_tar(archive: str) -> Iterator[_Member]:
    at = ""
    try:
        with tarfile.open(archive, "r|*", bufsize=BLOCK, errors="surrogateescape") as tar:
            for member in tar:
                at = f" after {member.name!a}"
                if not member.isreg() or member.issparse():
                    raise StoreError(f"{archive}: {member.name!a} is no plain file; nothing was imported")
                content = tar.extractfile(member)
                assert content is not None
                yield _Member(member.name, member.size, content)
    except _DAMAGED as error:
        raise StoreError(f"{archive}: is damaged{at}, or no tar ({error}); nothing was imported") from None


def _of_folder(archive: str) -> Iterator[_Member]:
    for base, folders, names in os.walk(archive):
        folders.sort()
        for name in sorted([*names, *(one for one in folders if os.path.islink(os.path.join(base, one)))]):
            path = os.path.join(base, name)
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"{archive}: {_within(archive, path)!a} is no plain file; nothing was imported")
            with open(path, "rb") as file:
                yield _Member(_within(archive, path), status.st_size, file)


def _within(archive: str, path: str) -> str:
    return os.path.relpath(path, archive)


class Checked(msgspec.Struct, frozen=True):
    """An archive of which every byte is what was exported."""

    path: str
    index: Index


def checked(archive: str) -> Checked:
    """Read all of an archive, and compare it with its index. Writes nothing. Raises StoreError naming what differs."""
    if not os.path.exists(archive):
        raise StoreError(f"{archive}: there is no such archive; name the folder or tar that hpcurate export wrote")
    found, index = dict[str, Entry](), io.BytesIO()
    for member in _members(archive):
        if member.name in found or (member.name == INDEX and index.tell()):
            raise StoreError(f"{archive}: {member.name!a} is in it twice; nothing was imported")
        if member.name == INDEX:
            _read_index(archive, member, index)
        else:
            check_name(member.name, archive)
            found[member.name] = _read_through(archive, member)
    if not index.tell():
        raise StoreError(f"{archive}: has no {INDEX}: it is no archive of hpcurate export, or half of one")
    said = Index.parse(index.getvalue(), archive)
    if wrong := difference(said.by_path(), found):
        raise StoreError(f"{archive}: {wrong}; nothing was imported")
    return Checked(archive, said)


def _read_index(archive: str, member: _Member, index: IO[bytes]) -> None:
    if member.size > MOST_INDEX:
        raise StoreError(f"{archive}: {INDEX} claims {member.size} bytes; nothing was imported")
    _read_through(archive, member, index)


def _read_through(archive: str, member: _Member, keep: IO[bytes] | None = None) -> Entry:
    """All of a member, also written to `keep`. Raises StoreError where it ends too early."""
    read = _Hashed(member.content)
    try:
        while data := read.read(BLOCK):
            if keep is not None:
                keep.write(data)
    except _DAMAGED as error:
        raise StoreError(f"{archive}: is damaged in {member.name!a} ({error}); nothing was imported") from None
    return Entry(member.name, read.size, read.hexdigest())


def unpack(archive: Checked, target: str, place: dict[str, str]) -> None:
    """Write files of an archive below `target`, at their places there. Raises StoreError if it is another by now."""
    entries, left = archive.index.by_path(), set(place)
    for member in _members(archive.path):
        if not left:
            return
        if member.name not in left:
            continue
        path = os.path.join(target, place[member.name])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            entry = _read_through(archive.path, member, file)
        if entry != entries[member.name]:
            raise StoreError(f"{archive.path}: {member.name!a} was changed while it was read; nothing was imported")
        left.discard(member.name)
    if left:
        raise StoreError(f"{archive.path}: {min(left)!a} was removed while it was read; nothing was imported")
