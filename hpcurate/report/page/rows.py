"""Rows of committed shards as plain values, and what in them are measures and texts. Reads files; the rest is pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from hpcurate.report.rows import Plain, content_of, name_of
from hpcurate.report.run_view import CommittedShard

NO_MEASURES = ("id", "parents", "weight", "mtime_ns")
"""Fields that every pipeline has, and nobody judges a task by."""
LEAST_TEXT = 20
"""Characters of a text that may be a caption: names of codecs and formats are shorter."""
DEEPEST = 3
LARGEST = 1e300
"""Beyond it lie infinity, and whole numbers that are no float."""

_decoder = msgspec.json.Decoder()


def rows_of(shard: CommittedShard, name: str) -> list[Plain]:
    """Rows of one file of a shard; none if it is not there (any more)."""
    data = content_of(shard, name)
    try:
        rows = _decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # NaN, and names that are no text
        rows = [row for line in data.splitlines() for row in _loaded(line)]
    return [row for row in rows if isinstance(row, dict) and "id" in row]


def _loaded(line: bytes) -> Iterator[Plain]:
    with suppress(ValueError):  # a line cut short: `hpcurate verify` says so
        yield json.loads(line)


def numbers(row: Plain) -> Iterator[tuple[str, float]]:
    """Its numeric fields, those of a dict in it by `field.key`; no truth values, no NaN."""
    for name, value in row.items():
        kind = type(value)
        if kind is int or kind is float:
            if name not in NO_MEASURES and abs(value) < LARGEST:
                yield name, value
        elif kind is dict:
            for inner, one in value.items():
                if type(one) in (int, float) and abs(one) < LARGEST:
                    yield f"{name}.{inner}", one


def texts(row: Plain) -> list[tuple[str, str]]:
    """What is written to be read, as (field, text): captions, answers, prompts, wherever in the row."""
    return [found for name, value in row.items() for found in _texts(name, value, 0)]


def _texts(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if len(value) >= LEAST_TEXT and " " in value.strip() and name not in ("path", "source", "clip"):
            yield name, value
    elif isinstance(value, dict) and depth < DEEPEST:
        for inner, one in value.items():
            yield from _texts(str(inner), one, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST:
        for one in value:
            yield from _texts(name, one, depth + 1)


def label_of(row: Plain) -> str:
    """What a user calls a task, and the seconds of it where it is a span."""
    name, start, end = name_of(row), row.get("start_s"), row.get("end_s")
    if isinstance(start, (int, float)) and isinstance(end, (int, float)):
        return f"{name} · {start:.1f}–{end:.1f} s"
    return name
