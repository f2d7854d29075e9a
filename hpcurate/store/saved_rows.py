"""What a row says of values that stages have saved with its task: a key of its own, written only if there are any.

Tasks are no longer or shorter for it where nothing was saved. Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Optional

import msgspec

from hpcurate.errors import RecordError
from hpcurate.task import File, Saved

MARK = b'"saved":{'
"""In every row with something saved, and in few others."""


class _Places(msgspec.Struct, frozen=True):
    """References of the two files of one value."""

    file: str
    about: str


class _Extra(msgspec.Struct, frozen=True):
    """That part of a row."""

    saved: dict[str, _Places] = {}


@functools.lru_cache(maxsize=1)
def _decoder() -> msgspec.json.Decoder[_Extra]:
    return msgspec.json.Decoder(_Extra)


def with_saved(line: bytes, saved: Mapping[str, Saved]) -> bytes:
    """The row, and what is saved with its task, by name."""
    places = {name: _Places(one.file.ref, one.about.ref) for name, one in sorted(saved.items())}
    return line[:-1] + b"," + msgspec.json.encode(_Extra(places))[1:]


def saved_in(line: bytes, root: Optional[str]) -> dict[str, Saved]:
    """What a row says. Raises RecordError."""
    try:
        found = _decoder().decode(line).saved
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
        found = _odd(line)
    return {name: Saved(_file(one.file, root), _file(one.about, root)) for name, one in found.items()}


def _odd(line: bytes) -> dict[str, _Places]:
    """Of a row with NaN, or a name that is no text."""
    import json

    try:
        return msgspec.convert(json.loads(line), _Extra).saved
    except (ValueError, TypeError, msgspec.ValidationError) as error:
        raise RecordError(f"what is saved with a task: {error}: {line[:200]!r}") from None


def _file(ref: str, root: Optional[str]) -> File:
    return File(ref, None if root is None else os.path.join(root, ref))
