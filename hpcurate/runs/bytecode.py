"""The bytecode of frozen code, in one file beside it: what `hpcurate/start.py` reads in a job.

Made of what Python keeps in `__pycache__`; where it is told to keep none, nothing is compiled for a run.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

from hpcurate.start import LENGTH

_HEADER = 16
"""Bytes before the code in Python's own file: magic number, flags, time and size of the source (PEP 552)."""


def bytecode_of(files: Iterable[tuple[str, Path]]) -> bytes:
    """Content of the file, for frozen files: their names below the folder, and where they are now."""
    index, codes, size = {}, [], 0
    entries = set()
    for name, path in files:
        entries.add(name.split("/")[0].split(".")[0])
        code = _kept(path) if name.endswith(".py") else None
        if code is not None:
            index[_module(name)] = (name, size, len(code))
            codes.append(code)
            size += len(code)
    head = marshal.dumps((index, frozenset(entries), size))
    return b"".join([MAGIC_NUMBER, len(head).to_bytes(LENGTH, "little"), head, *codes])


def _module(name: str) -> str:
    """`a/b/__init__.py` → `a.b`. Pure."""
    return name[:-3].removesuffix("/__init__").replace("/", ".")


def _kept(path: Path) -> bytes | None:
    """Marshalled code of a file, compiled if Python may keep that for the next time."""
    with suppress(OSError, NotImplementedError):
        cache, source = Path(cache_from_source(path)), path.stat()
        data, second = cache.read_bytes(), int(source.st_mtime)
        made_of = second.to_bytes(8, "little")[:4] + source.st_size.to_bytes(8, "little")[:4]
        if data[:_HEADER] == MAGIC_NUMBER + bytes(4) + made_of:
            # Python compares whole seconds: what it made within the second of an edit may be of what stood there before
            return data[_HEADER:] if cache.stat().st_mtime >= second + 1 else None
    if sys.dont_write_bytecode:
        return None
    with suppress(OSError, SyntaxError, ValueError):
        return marshal.dumps(SourceFileLoader(path.stem, str(path)).get_code(path.stem))
    return None
