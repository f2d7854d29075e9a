"""What the files of a table were when they were read, beside the lists that have their rows: `read.json` of a source.

A file that has not changed since is not read again; of one that has grown only what was added. It is a cache: absent,
damaged, or no longer true, everything is read, which gives the same.

A file has not changed if inode, size and times are the same, and the times were older than the clock's grain when it
was read: else it may have been written once more within the same tick. Where that cannot be told, or the file has
grown, the bytes that were read are compared with their digests, all of them: an edit in the middle may leave length and
end as they were.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

import msgspec

from hpcurate.errors import ConfigError
from hpcurate.source.pieces import digest

__all__ = ["FORMAT", "FileRead", "FilesRead", "look", "with_pieces"]

FORMAT = 1
"""Raised whenever rows are read otherwise."""
SETTLED_NS = 3 * 10**9
"""More than the grain of a filesystem's times (FAT: 2 s), and than clocks of a site differ."""


class FileRead(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was read."""

    path: str
    state: tuple[int, int, int, int]
    """Inode, size, time of change of the content in ns, and of the inode: a time that was set back shows there."""
    settled: bool
    """Whether a later change cannot have the same times."""
    pieces: tuple[tuple[int, str], ...] = ()
    """(bytes, digest) of what was read, one after the other; none where only the state is known."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.state[1]

    @property
    def end(self) -> int:
        """Up to where it was read."""
        return sum(size for size, _ in self.pieces)

    def stands(self, now: FileRead) -> bool:
        """Whether it is as it was, or begins so and has grown by whole lines. Raises OSError."""
        if self.settled and self.state == now.state:
            return True
        if not self.pieces or now.size < self.end:
            return False
        last = b""
        with open(self.path, "rb") as file:
            for size, name in self.pieces:
                if digest(last := file.read(size)).hex() != name:
                    return False
        return now.size == self.end or last.endswith(b"\n")


class FilesRead(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a source."""

    reading: str
    """How rows were made of them."""
    lists: tuple[str, ...]
    """Of the source: they have just these rows."""
    shards: str
    """Names all shards of these lists, which are named by their rows."""
    files: tuple[FileRead, ...]
    format: int = FORMAT

    @classmethod
    def parse(cls, data: bytes) -> FilesRead | None:
        """None for what is damaged, or of another release."""
        try:
            found = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError):
            return None
        return found if found.format == FORMAT else None

    def to_json(self) -> bytes:
        """For `read.json`."""
        return msgspec.json.encode(self) + b"\n"

    def of(self, lists: Sequence[str], shards: str) -> FilesRead:
        """The same files, whose rows are in these lists now."""
        return msgspec.structs.replace(self, lists=tuple(lists), shards=shards)

    def pieces_of(self, now: Sequence[FileRead]) -> tuple[FileRead, ...]:
        """These files with what was read of them before."""
        known = {file.path: file.pieces for file in self.files}
        return tuple(msgspec.structs.replace(file, pieces=known.get(file.path, ())) for file in now)

    def since(self, now: Sequence[FileRead]) -> dict[str, int] | None:
        """Path → from where on a file is to be read; None if anything that was read before is not as it was."""
        known, starts = {file.path: file for file in self.files}, dict[str, int]()
        for file in now:
            before = known.pop(file.path, None)
            try:
                if before is not None and not before.stands(file):
                    return None
            except OSError:
                return None
            starts[file.path] = 0 if before is None else before.end if before.pieces else file.size
        return None if known else starts


def with_pieces(files: Sequence[FileRead], read: Iterable[tuple[str, int, str]]) -> tuple[FileRead, ...]:
    """The same, with what was read of them: (path, bytes, digest) in order. Pure."""
    added: dict[str, list[tuple[int, str]]] = {file.path: list(file.pieces) for file in files}
    for path, size, name in read:
        added[path].append((size, name))
    return tuple(msgspec.structs.replace(file, pieces=tuple(added[file.path])) for file in files)


def look(paths: Sequence[str]) -> tuple[FileRead, ...]:
    """These files as they are. Each is opened: else an NFS client may answer with what it knew a minute ago.

    Raises ConfigError.
    """
    found = []
    for path in paths:
        now = time.time_ns()
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        settled = max(status.st_mtime_ns, status.st_ctime_ns) < now - SETTLED_NS
        state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found.append(FileRead(path=path, state=state, settled=settled))
    return tuple(found)
