"""What in a row are measures and texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpcurate.report.row_files import is_reference
from hpcurate.report.rows import Plain

NO_MEASURES = ("id", "parents", "weight", "mtime_ns")
"""Fields that every pipeline has, and nobody judges a task by."""
LEAST_TEXT = 20
"""Characters of a text that may be a caption: names of codecs and formats are shorter."""
DEEPEST = 3
LARGEST = 1e300
"""Beyond it lie infinity, and whole numbers that are no float."""


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
        is_text = len(value) >= LEAST_TEXT and " " in value.strip() and not is_reference(value)
        if is_text and name not in ("path", "source", "clip"):
            yield name, value
    elif isinstance(value, dict) and depth < DEEPEST:
        for inner, one in value.items():
            yield from _texts(str(inner), one, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST:
        for one in value:
            yield from _texts(name, one, depth + 1)
