"""A tar as WebDataset reads it: members of a sample side by side, under the sample's key and an extension.

The same samples give the same bytes: no times, no owners, one format.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import attrs

from stages.shards.numbered import Packed

HEADER = 512
"""Bytes before each member; its data are filled up to a multiple of that, too."""
END = 10240
"""Bytes of the end of an archive, at most."""
JSON = "json"
"""Extension of the member with a sample's fields."""
BLOCK = 1 << 20


@attrs.define(frozen=True)
class Member:
    """One file of a sample: its extension, and the data or where they lie."""

    extension: str
    data: bytes | str
    """Bytes, or the path of a file."""
    size: int


def in_memory(extension: str, data: bytes) -> Member:
    """A member with these bytes."""
    return Member(extension, data, len(data))


def of_file(extension: str, path: str) -> Member:
    """A member that is read when it is packed. Raises OSError for a file that is not there."""
    return Member(extension, path, os.stat(path).st_size)


def packed_size(members: Iterable[Member]) -> int:
    """Bytes of a sample in a tar."""
    return sum(HEADER + -(-member.size // HEADER) * HEADER for member in members)


def write_tar(path: str, samples: Iterable[tuple[str, Sequence[Member]]]) -> None:
    """Key and members of each sample, in order. A file is copied in blocks: memory holds one."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for key, members in samples:
            for member in members:
                with _opened(member) as data:
                    archive.addfile(_header(f"{key}.{member.extension}", member.size), data)


def read_tar(path: str) -> Iterator[Packed]:
    """What a tar has: of each sample its place, and offset, size and SHA-256 of each member's data.

    `digest` is that of its fields and its members' names. Raises tarfile.TarError for what is no tar.
    """
    with tarfile.open(path, "r:") as archive:
        key, start, end, members = "", 0, 0, dict[str, list[int | str]]()
        while (info := archive.next()) is not None:
            name, _, extension = info.name.partition(".")
            if name != key and members:
                yield _packed(key, start, end, members)
                members = {}
            if not members:
                key, start = name, info.offset
            members[extension] = [info.offset_data, info.size, _digest(archive.extractfile(info))]
            end = info.offset_data + -(-info.size // HEADER) * HEADER
        if members:
            yield _packed(key, start, end, members)


def sample_digest(fields: str, extensions: Iterable[str]) -> str:
    """By which a sample is told from one with other fields (their SHA-256), or with other members, in their order."""
    return hashlib.sha256("\0".join([fields, *extensions]).encode()).hexdigest()


def _packed(key: str, start: int, end: int, members: dict[str, list[int | str]]) -> Packed:
    fields = str(members[JSON][2]) if JSON in members else ""
    place = {"offset": start, "size": end - start, "members": members}
    return Packed(key, sample_digest(fields, members), place)


def _opened(member: Member) -> IO[bytes]:
    return io.BytesIO(member.data) if isinstance(member.data, bytes) else open(member.data, "rb")


def _header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def _digest(data: IO[bytes] | None) -> str:
    found = hashlib.sha256()
    while data is not None and (block := data.read(BLOCK)):
        found.update(block)
    return found.hexdigest()
