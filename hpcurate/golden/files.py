"""In what two files differ: by bytes, and where they are arrays, tables or JSON by what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import Any, Callable, Optional

import attrs

from hpcurate.golden.rules import Rules, Tolerance
from hpcurate.golden.values import KeptFile, differences, files_in

__all__ = ["FileComparer"]

BLOCK = 1 << 20


@attrs.define
class FileComparer:
    """Compares files, and counts those that are not there any more."""

    rules: Rules
    gone: int = 0
    """Files of before that could not be compared."""
    not_read: set[str] = attrs.field(factory=set)
    """What would be needed to compare files by content: names of libraries."""

    def __call__(self, field: str, before: KeptFile, after: KeptFile) -> str:
        """See `FileDiffers`."""
        if not os.path.exists(before.path):
            self.gone += 1
            return ""
        if not os.path.exists(after.path):
            return "the file is not there now"
        if os.path.isdir(before.path) or os.path.isdir(after.path):
            return self._folders(field, before, after)
        return self._files(field, before, after)

    def _folders(self, field: str, before: KeptFile, after: KeptFile) -> str:
        """In what the first file of two folders differs."""
        one, other = (
            {os.path.relpath(path, file.path): path for path in files_in(file.path)} for file in (before, after)
        )
        if one.keys() != other.keys():
            return f"has {_few(one)}, and now {_few(other)}"
        said = ((name, self._files(field, KeptFile(one[name]), KeptFile(other[name]))) for name in one)
        return next((f"{name}: {how}" for name, how in said if how), "")

    def _files(self, field: str, before: KeptFile, after: KeptFile) -> str:
        said = in_bytes(before.path, after.path)
        suffix = os.path.splitext(before.name)[1].lower()
        if not said or suffix not in READERS or suffix != os.path.splitext(after.name)[1].lower():
            return said
        try:
            return self._by_content(field, READERS[suffix], before, after)
        except ImportError as error:
            self.not_read.add(str(error.name))
            return said
        except Exception as error:  # a file of the user's may be anything
            return f"{said}; not read as {suffix[1:]}: {type(error).__name__}: {error}"

    def _by_content(self, field: str, read: _Reader, before: KeptFile, after: KeptFile) -> str:
        one, other = read(before.path), read(after.path)
        if one.keys() != other.keys():
            return f"has {_few(one)}, and now {_few(other)}"
        for name in one:
            said = _differ(one[name], other[name], self.rules, field)
            if said:
                return f"{name}: {said}" if name else said
        return ""


def _few(names: Collection[str]) -> str:
    some = sorted(names)[:5]
    return (", ".join(some) or "nothing") + (", …" if len(names) > len(some) else "")


def in_bytes(before: str, after: str) -> str:
    """In what bytes two files differ: their sizes, or where first."""
    if os.path.samefile(before, after):
        return ""
    sizes = os.path.getsize(before), os.path.getsize(after)
    if sizes[0] != sizes[1]:
        return f"{sizes[0]} bytes → {sizes[1]} bytes"
    with open(before, "rb") as one, open(after, "rb") as other:
        place = 0
        while block := one.read(BLOCK):
            now = other.read(BLOCK)
            if block != now:
                at = next((n for n, (a, b) in enumerate(zip(block, now)) if a != b), min(len(block), len(now)))
                return f"differs from byte {place + at} of {sizes[0]} on"
            place += len(block)
    return ""


# -- what is in them ------------------------------------------------------------------------------------

_Reader = Callable[[str], dict[str, Any]]
"""File → name → array or plain value. Raises ImportError where its library is missing here."""


def _npy(path: str) -> dict[str, Any]:
    import numpy

    return {"": numpy.load(path, allow_pickle=False)}


def _npz(path: str) -> dict[str, Any]:
    import numpy

    with numpy.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _safetensors(path: str) -> dict[str, Any]:
    import safetensors.numpy

    return dict(safetensors.numpy.load_file(path))


def _parquet(path: str) -> dict[str, Any]:
    import pyarrow.parquet

    return {"": pyarrow.parquet.read_table(path).to_pydict()}


def _json(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {"": json.load(file)}


def _ipynb(path: str) -> dict[str, Any]:
    """Without the names of its cells, which nbformat draws by chance."""
    with open(path, "rb") as file:
        notebook = json.load(file)
    cells = [{key: one[key] for key in one if key != "id"} for one in notebook["cells"]]
    return {"": {**notebook, "cells": cells}}


READERS: dict[str, _Reader] = {
    ".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet, ".json": _json,
    ".ipynb": _ipynb,
}  # fmt: skip


def _differ(before: Any, after: Any, rules: Rules, field: str) -> str:
    if hasattr(before, "dtype"):
        return _arrays(before, after, rules.of(field))
    plain = next(iter(differences(before, after, rules, lambda *files: "", field)), None)
    if plain is None:
        return ""
    return f"{plain.field.removeprefix(field).removeprefix('.')}: {plain.before} → {plain.after}".removeprefix(": ")


def _arrays(before: Any, after: Any, tolerance: Tolerance) -> str:
    if (before.shape, before.dtype) != (after.shape, after.dtype):
        return f"{_described(before)} → {_described(after)}"
    import numpy

    if before.dtype.kind not in "iufcb":
        return "" if numpy.array_equal(before, after) else "the elements differ"
    worst = _worst(before, after, tolerance)
    if worst is None:
        return ""
    place, count = worst
    where = ", ".join(map(str, place))
    more = f", the largest of {count} that differ, of {before.size}" if count > 1 else ""
    return f"[{where}]: {before[place]!s} → {after[place]!s}{more}"


def _worst(before: Any, after: Any, tolerance: Tolerance) -> Optional[tuple[tuple[int, ...], int]]:
    """Where two arrays of one shape differ most, and how many elements do; None where none does."""
    import numpy

    kind = complex if before.dtype.kind == "c" else float
    one, other = before.astype(kind), after.astype(kind)
    with numpy.errstate(invalid="ignore"):
        far = numpy.abs(one - other)
        both = numpy.isfinite(one) & numpy.isfinite(other)
        near = both & (far <= tolerance.absolute + tolerance.relative * numpy.abs(one))
    odd = ~(near | (before == after) | (numpy.isnan(one) & numpy.isnan(other)))
    if not odd.any():
        return None
    largest = int(numpy.argmax(numpy.where(odd, numpy.where(numpy.isfinite(far), far, numpy.inf), -1.0)))
    return tuple(int(n) for n in numpy.unravel_index(largest, before.shape)), int(odd.sum())


def _described(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"
