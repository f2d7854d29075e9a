"""Rows of committed shards as plain values, whatever class they were written from: no code of a stage is imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.errors import StoreError
from hpcurate.report.run_view import CommittedShard
from hpcurate.units import plural

TASKS, DROPPED, LEFT_OUT = "tasks.jsonl", "dropped.jsonl", "left_out.jsonl"

Plain = dict[str, Any]


class Head(msgspec.Struct, frozen=True):
    """What says which task a row is: a tenth of the work of reading all of it."""

    id: str
    parents: tuple[str, ...] = ()


_head, _rows = msgspec.json.Decoder(Head), msgspec.json.Decoder()


@attrs.define(frozen=True, eq=False)
class Row:
    """A task as a stage passed it on, or as the source took it in."""

    folder: str
    """Of the stage."""
    shard: str
    nonce: str
    number: int
    plain: Plain

    @property
    def id(self) -> str:
        """Id of the task."""
        return str(self.plain["id"])


def head_of(line: bytes) -> Head:
    """Id and parents of a row."""
    try:
        return _head.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):  # names may be any bytes, which this decoder refuses
        plain = loaded(line)
        return Head(plain["id"], tuple(plain.get("parents") or ()))


def lines_of(shard: CommittedShard, name: str) -> Iterator[bytes]:
    """The rows of one file of a shard; none where there is no such file. Raises StoreError where one has to be."""
    path = Path(shard.path, name)
    try:
        with open(path, "rb") as file:
            yield from (line for line in file if line.strip())
    except FileNotFoundError:
        if name == TASKS and shard.counts.tasks_out:
            raise StoreError(
                f"{path}: is gone, and had {plural(shard.counts.tasks_out, 'row')}; `hpcurate verify` lists what else "
                "is gone, `hpcurate verify --repair` has it made again"
            ) from None


def loaded(line: bytes) -> Plain:
    """A row, whatever bytes are in it."""
    plain: Plain = json.loads(line)
    return plain


def content_of(shard: CommittedShard, name: str) -> bytes:
    """One file of a shard; empty where it is not there."""
    try:
        return Path(shard.path, name).read_bytes()
    except FileNotFoundError:
        return b""


def rows_of(shard: CommittedShard, name: str) -> list[Plain]:
    """Rows of one file of a shard at once, also of one that is damaged; none if it is not there (any more)."""
    data = content_of(shard, name)
    try:
        rows = _rows.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # NaN, and names that are no text
        rows = [row for line in data.splitlines() for row in _readable(line)]
    return [row for row in rows if isinstance(row, dict) and "id" in row]


def _readable(line: bytes) -> Iterator[Plain]:
    with suppress(ValueError):  # a line cut short: `hpcurate verify` says so
        yield loaded(line)


def plain_of(line: bytes, name: str) -> Plain:
    """The task of a row of that file. Of one that no row could hold, only the id is known."""
    plain = loaded(line)
    if name == TASKS:
        return plain
    return plain.get("task") or {"id": plain["id"]}


def row_of(folder: str, shard: CommittedShard, number: int, line: bytes) -> Row:
    """One row of a shard's `tasks.jsonl`."""
    return Row(folder, shard.id, shard.counts.nonce, number, loaded(line))


def spelled(text: str) -> tuple[bytes, ...]:
    """The ways in which rows spell a text: with non-ASCII characters as they are, and escaped."""
    escaped = json.dumps(text)[1:-1].encode()
    plain = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    return (escaped,) if escaped == plain else (escaped, plain)


def name_of(plain: Plain) -> str:
    """What a user calls a task: its name in the input if it has one, else its id. Pure."""
    known = _known(plain)
    return str(known.get("source") or known.get("path") or plain["id"])


def _known(plain: Plain) -> Plain:
    """Its fields, and those that a Record has carried on as values. Pure."""
    carried = plain.get("values")
    return {**carried, **plain} if isinstance(carried, dict) else plain


def label_of(plain: Plain) -> str:
    """What a user calls a task, and the seconds of it where it is a span: `v2d.mp4, 3.2–5.5 s`. Pure."""
    start, end = (_known(plain).get(name) for name in ("start_s", "end_s"))
    is_span = isinstance(start, (int, float)) and isinstance(end, (int, float))
    return name_of(plain) + (f", {start:.1f}–{end:.1f} s" if is_span else "")


def described(value: Any) -> str:
    """A value in one line. Pure."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())
