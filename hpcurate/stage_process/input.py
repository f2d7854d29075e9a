"""The rows of a shard's input, as they stand in the files of its upstreams. Python 3.9."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from hpcurate.errors import StoreFailed
from hpcurate.stage_process.messages import ShardJob
from hpcurate.stage_process.store_errors import own_io, store_failed
from hpcurate.store.files import REAL, Files

AT_ONCE = 1000
"""Rows that are read at once where nobody asks for a number."""


def blocks_of(job: ShardJob, size: int, files: Files = REAL) -> Iterator[bytes]:
    """So many rows at a time, each with its end, from whichever files; 0: all of them.

    Raises StoreFailed, also where there are fewer than planned.
    """
    size = size or rows_in(job) or 1
    rows: list[bytes] = []
    for number, (path, low, high) in enumerate(job.inputs):
        offset = job.offsets[number] if job.offsets else None
        with own_io("reading", path):
            file = files.open(path, "rb")
        with file:
            at = 0 if offset is None else _seek(file, path, low, offset)
            while at < high:
                several = min(low - at, AT_ONCE) if at < low else min(high - at, size - len(rows))
                found = _next(file, path, (low, high), at, several)
                rows += found if at >= low else ()
                at += several
                if len(rows) == size:
                    yield b"".join(rows)
                    rows = []
    if rows:
        yield b"".join(rows)


def _seek(file: BinaryIO, path: str, row: int, offset: int) -> int:
    """Go to where that row begins; the row itself."""
    with own_io("reading", path):
        file.seek(max(0, offset - 1))
        if offset and file.read(1) != b"\n":
            raise StoreFailed(f"{path}: row {row} does not begin at byte {offset}, where its order has it")
    return row


def rows_in(job: ShardJob) -> int:
    """How many its input has."""
    return sum(high - low for _, low, high in job.inputs)


def rows_of(job: ShardJob, files: Files = REAL) -> Iterator[bytes]:
    """One at a time, without its end. Raises StoreFailed."""
    for block in blocks_of(job, AT_ONCE, files):
        yield from (row[:-1] for row in io.BytesIO(block))


def _next(file: BinaryIO, path: str, planned: tuple[int, int], at: int, several: int) -> list[bytes]:
    """So many rows from where the file is read, which is row `at`."""
    try:
        found = list(islice(file, several))
    except OSError as error:
        raise store_failed("reading", path, error) from error
    whole = len(found) - bool(found and found[-1][-1:] != b"\n")
    if whole < several:
        low, high = planned
        raise StoreFailed(f"{path} ends in row {at + whole}, and its rows {low} to {high} are needed")
    return found
