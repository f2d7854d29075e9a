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
    with suppress(OSError, NotImplementedError, SyntaxError, ValueError):
        if (data := _believed(path)) is not None:
            return data
        if sys.dont_write_bytecode:
            return None
        return marshal.dumps(SourceFileLoader(path.stem, str(path)).get_code(path.stem))
    return None


def _believed(path: Path) -> bytes | None:
    """What Python has kept of a file as it is; what it would take for that, and may be older, is removed. OSError.

    Python compares seconds and sizes: it does not see an edit within the second of the last one, nor a file of the same
    size that was copied here with its time, as rsync and tar do. What was kept later than any change holds.
    """
    cache, source = Path(cache_from_source(path)), path.stat()
    try:
        data, kept = cache.read_bytes(), cache.stat().st_mtime
    except FileNotFoundError:
        return None
    made_of = int(source.st_mtime).to_bytes(8, "little")[:4] + source.st_size.to_bytes(8, "little")[:4]
    if data[:_HEADER] != MAGIC_NUMBER + bytes(4) + made_of:
        return None
    if kept >= int(max(source.st_mtime, source.st_ctime)) + 1:
        return data[_HEADER:]
    if not sys.dont_write_bytecode:
        cache.unlink()
    return None
