"""Files of lines, read in pieces of whole lines, by several processes."""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from hpcurate.errors import ConfigError
from hpcurate.source.base import Block
from hpcurate.system.forked import cores, in_processes

PIECE = 2**22
"""Bytes in one piece, but for the rest of its last line."""
BLOCK = 2**17
"""Bytes that are decoded together."""
_HEAD = struct.Struct("=qq16s")
LinesToBlock = Callable[[str, bytes], Block]
"""(path, whole lines) → their tasks. Raises UserError."""


class Piece(NamedTuple):
    """The lines of a file that begin in a range of bytes."""

    path: str
    inode: int
    start: int
    end: int | None
    """None: all that there is."""

    def lines(self) -> bytes:
        """As they are in the file. Raises ConfigError."""
        with readable(self.path), open(self.path, "rb") as file:
            if os.fstat(file.fileno()).st_ino != self.inode:
                raise ConfigError(f"{self.path}: was replaced while it was read; type the same command again")
            return self._lines(file)

    def _lines(self, file: BinaryIO) -> bytes:
        before = max(self.start - 1, 0)
        file.seek(before)
        data = file.read() if self.end is None else file.read(self.end - before)
        if self.start:
            data = data[data.find(b"\n") + 1 or len(data) :]
        return data if not data or data.endswith(b"\n") else data + file.readline()


def read_files(paths: Sequence[str], starts: Mapping[str, int], read: LinesToBlock) -> Iterator[Block]:
    """All lines of these files, in order, each from where `starts` says, else all. Raises UserError."""
    pieces = [piece for path in paths for piece in _pieces(path, starts.get(path, 0))]

    def packed(piece: Piece) -> bytes:
        lines = piece.lines()
        block = read(piece.path, lines)
        return _HEAD.pack(len(lines), len(block.ids), digest(lines)) + block.ids.tobytes() + block.rows

    for piece, data in zip(pieces, in_processes(packed, pieces, cores())):
        size, count, name = _HEAD.unpack_from(data)
        rows, ids = _HEAD.size + 8 * count, array("q")
        ids.frombytes(data[_HEAD.size : rows])
        yield Block(data[rows:], ids, (piece.path, size, name.hex()))


def _pieces(path: str, start: int) -> list[Piece]:
    with readable(path):
        status = os.stat(path)
    size, inode = status.st_size, status.st_ino
    starts = range(start, size, PIECE)
    return [Piece(path, inode, one, one + PIECE if one + PIECE < size else None) for one in starts]


def split(lines: bytes) -> Iterator[bytes]:
    """The same in small blocks of whole lines, so that not much is read row by row because of one odd row."""
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + BLOCK) + 1 or len(lines)
        yield lines[start:end]
        start = end


def digest(lines: bytes) -> bytes:
    """16 bytes that stand for these."""
    return hashlib.blake2b(lines, digest_size=16).digest()


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Raise ConfigError for a file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
