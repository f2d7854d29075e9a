"""Values in rows: what JSON cannot hold, what a row must not hold, and what its reader would leave out. Pure.

Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Optional

import attrs

from hpcurate.store.row_types import compared_fields
from hpcurate.task import File

_JSON = (str, int, float, bool, type(None))
_SCALARS = frozenset(_JSON)


def to_plain(value: Any) -> Any:
    """What stands in a row for a value that JSON has no form of. Raises TypeError for what no row can hold."""
    if isinstance(value, File):
        return value.ref
    if isinstance(value, PurePath):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a numpy or torch scalar
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot stand in a row; write it to self.file(…) instead")


def all_plain_json(values: Sequence[Any]) -> bool:
    """As `plain_json` of each: without a look at each, where they are numbers, texts and None."""
    if _SCALARS.issuperset(map(type, values)):
        return all(map(math.isfinite, [value for value in values if type(value) is float]))
    return all(map(plain_json, values))


def plain_json(value: Any) -> bool:
    """True if the fast path keeps `value`; raises TypeError for what no row can hold."""
    if type(value) is float:
        return math.isfinite(value)
    if value is None or type(value) in (str, int, bool):
        return True
    if isinstance(value, dict):
        if not all([isinstance(key, str) for key in value]):
            raise TypeError(f"keys of a row are strings, got {value!a:.80}; other keys are declared: dict[int, …]")
        return all([plain_json(inner) for inner in value.values()])
    if isinstance(value, (list, tuple, set, frozenset)):
        return all([plain_json(v) for v in value])
    if attrs.has(type(value)):
        return all([plain_json(getattr(value, f.name)) for f in attrs.fields(type(value))])
    return isinstance(value, enum.Enum) or not _is_odd_scalar(value)


def _is_odd_scalar(value: Any) -> bool:
    plain = to_plain(value)
    return isinstance(plain, float) and not math.isfinite(plain)


def refuse_objects(value: Any) -> None:
    """Raise TypeError where plain data hold something that is not JSON's."""
    if isinstance(value, dict):
        for inner in value.values():
            refuse_objects(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            refuse_objects(inner)
    elif not isinstance(value, _JSON):
        raise TypeError(f"a {type(value).__name__} cannot stand in a row")


def lost(value: Any, back: Any) -> str:
    """Where and what of a value is not in what is read back, in words; empty if all of it is.

    Only what the reader leaves out without an error: fields of a subclass, and keys.
    """
    names = _fields_to_compare(type(back))
    if names is not None:
        return _lost_of_class(value, back, names)
    if isinstance(back, dict) and isinstance(value, dict):
        for key, inner in value.items():
            if key not in back:
                return f" has the key {key!r}, which would be read as another or not at all"
            if gone := lost(inner, back[key]):
                return f"[{key!r}]{gone}"
    elif isinstance(back, (list, tuple)):
        for number, (inner, read) in enumerate(zip(value, back)):
            if gone := lost(inner, read):
                return f"[{number}]{gone}"
    elif isinstance(back, (set, frozenset)):
        kinds = {type(read): read for read in back}
        return next((lost(v, next(iter(back))) for v in value if kinds and type(v) not in kinds), "")
    return ""


def _lost_of_class(value: Any, back: Any, names: tuple[str, ...]) -> str:
    if type(value) is not type(back):
        if _fields_to_compare(type(value)) is None:
            return ""  # a dict that is read as the class
        kinds = f"a {type(value).__qualname__} where {type(back).__qualname__} is declared"
        return f" holds {kinds}: what it adds would be lost; declare the field as that class"
    for name in names:
        if gone := lost(getattr(value, name), getattr(back, name)):
            return f".{name}{gone}"
    return ""


_COMPARED: dict[type, Optional[tuple[str, ...]]] = {}


def _fields_to_compare(cls: type) -> Optional[tuple[str, ...]]:
    """Fields of a class that has fields, without those of plain types; None for another class."""
    if cls not in _COMPARED:
        known = attrs.has(cls) or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__struct_fields__")
        _COMPARED[cls] = compared_fields(cls, keys=True) if known else None
    return _COMPARED[cls]
