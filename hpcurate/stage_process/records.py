"""What a program is given of tasks, by name, and what tasks are made of what it returns. Python 3.9."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Optional

import attrs
import msgspec

from hpcurate.errors import BadReturned, BadValues, StageError
from hpcurate.fields import suggestion
from hpcurate.task import File, Record, Task

__all__ = ["TYPES", "Names", "agreed", "carried", "checked_values", "line_of", "names_of", "returned_lines", "text_of"]

TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
"""Types of values."""
BASE = frozenset(field.name for field in attrs.fields(Task))
"""Fields that every task has."""
Names = Mapping[str, Any]
"""What `{name}` means: its value."""
_DIFFERS = object()
"""Stands for a value in which tasks differ."""


def names_of(task: Task) -> dict[str, Any]:
    """What `{name}` may mean in a command that is given this task: its fields; of a Record, values and files, too."""
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(type(task))}
    if not isinstance(task, Record):
        return fields
    own = {name: value for name, value in fields.items() if name not in ("values", "files")}
    return {**task.files, **task.values, **own}


def agreed(tasks: Sequence[Task]) -> Names:
    """Each name with its value, or a mark that the tasks differ in it."""
    found: dict[str, Any] = {}
    for task in tasks:
        for name, value in names_of(task).items():
            if found.setdefault(name, value) != value:
                found[name] = _DIFFERS
    return found


def text_of(name: str, known: Names, own: Sequence[str]) -> str:
    """What stands for a name in an argument. Raises StageError. Pure."""
    if name not in known:
        raise StageError(f"{{{name}}}: the task has no such field, value or file; {suggestion(name, [*known, *own])}")
    value = known[name]
    if value is _DIFFERS:
        raise StageError(f"{{{name}}}: the tasks that come together here differ in it")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, (File, PurePath)):
        return os.fspath(value)
    raise StageError(f"{{{name}}}: {value!r:.80} is no text, number or file, so it cannot stand in an argument")


def carried(known: Names) -> tuple[dict[str, Any], dict[str, File]]:
    """(values, files) that a Record keeps of what its task came from: what is plain, and known for all."""
    kept = {n: v for n, v in known.items() if n not in BASE and v is not None and v is not _DIFFERS}
    files = {name: value for name, value in kept.items() if isinstance(value, File)}
    plain = {name: _plain(value) for name, value in kept.items() if name not in files}
    return {name: value for name, value in plain.items() if value is not msgspec.UNSET}, files


def _plain(value: Any, paths: tuple[type[os.PathLike[str]], ...] = (PurePath,)) -> Any:
    """The value as JSON has it, with `paths` as texts; UNSET for what it cannot hold."""

    def path(inner: Any) -> str:
        if isinstance(inner, paths):
            return os.fspath(inner)
        raise TypeError(type(inner))

    try:
        return msgspec.to_builtins(value, enc_hook=path, str_keys=True)
    except (TypeError, ValueError):
        return msgspec.UNSET


def line_of(task: Task, places: Mapping[str, File]) -> bytes:
    """A task as a program reads it: one line of JSON, files as absolute paths, where its outputs belong under `out`."""
    plain = {name: _plain(value, (PurePath, File)) for name, value in names_of(task).items()}
    out = {"out": {name: place.path for name, place in places.items()}} if places else {}
    kept = {name: value for name, value in plain.items() if value is not msgspec.UNSET}
    return json.dumps({**kept, **out}).encode() + b"\n"


# -- what it returns -----------------------------------------------------------------------------------


def checked_values(found: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """The values as declared; a whole number may stand for a real one. Raises BadValues. Pure."""
    if not isinstance(found, dict):
        raise BadValues(f"values: expected a JSON object, got {type(found).__name__}")
    for name in found.keys() - declared.keys():
        raise BadValues(f"values: {name!r} is not declared; {suggestion(name, declared)}")
    return {name: _of_type(name, found, TYPES[kind]) for name, kind in declared.items()}


def _of_type(name: str, found: Names, kind: type) -> Any:
    if name not in found:
        raise BadValues(f"values: there is no {name!r}, which is declared")
    value = float(found[name]) if kind is float and type(found[name]) is int else found[name]
    if type(value) is not kind:
        raise BadValues(f"values: {name}: expected {kind.__name__}, got {json.dumps(value)[:80]}")
    try:
        finite = _is_finite(value)
    except RecursionError:
        raise BadValues(f"values: {name}: lists and objects in each other, too deep") from None
    if not finite:
        raise BadValues(f"values: {name}: NaN and infinite numbers are no JSON; leave them out, or write a text")
    return value


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_is_finite, inner))


class Returned(msgspec.Struct, frozen=True):
    """One line that a program returned."""

    number: int
    parents: tuple[str, ...]
    """Empty: none is named."""
    fields: dict[str, Any]
    """All that it says beside that."""
    drop: Optional[str] = None
    """Why the parents end here."""

    def wrong(self, what: str) -> BadReturned:
        """What to raise for it."""
        return BadReturned(f"returned, line {self.number}: {what}")


def returned_lines(data: bytes) -> list[Returned]:
    """What a program returned. Raises BadReturned. Pure."""
    lines = enumerate(data.splitlines(), start=1)
    return [_returned(number, line) for number, line in lines if line.strip()]


def _returned(number: int, line: bytes) -> Returned:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadReturned(f"returned, line {number}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadReturned(f"returned, line {number}: expected a JSON object, got {type(found).__name__}")
    parent, drop = found.pop("parent", ()), found.pop("drop", None)
    parents = (parent,) if isinstance(parent, str) else parent
    one = Returned(number, tuple(parents) if isinstance(parents, (list, tuple)) else (), found, drop)
    if not isinstance(parents, (list, tuple)) or not all(isinstance(each, str) for each in parents):
        raise one.wrong(f"parent: expected the id of a task, or a list of them, got {json.dumps(parent)[:80]}")
    if not isinstance(found.get("id", ""), str):
        raise one.wrong(f"id: expected a text, got {json.dumps(found['id'])[:80]}")
    if drop is not None and (not isinstance(drop, str) or not drop or found):
        raise one.wrong('a line that drops is {"parent": id, "drop": reason} and no more')
    return one


def made_of(
    line: Returned, kind: type[Task], base: Names, declared: Mapping[str, str], file: Callable[[str], File]
) -> dict[str, Any]:
    """Fields of the task that a line stands for, but its id; `base`: names of its parents. Raises BadReturned.

    `file` makes a File of an absolute path, and raises ValueError.
    """
    given = {name: value for name, value in line.fields.items() if name != "id"}
    names = [field.name for field in attrs.fields(kind) if field.name not in ("id", "parents")]
    for name in given:
        if name not in names:
            raise line.wrong(f"{name!r}: a {kind.__qualname__} has no such field; {suggestion(name, names)}")
    try:
        found = _record(given, base, declared, file) if kind is Record else _fields(kind, given, base, file)
    except (BadValues, ValueError, TypeError, msgspec.ValidationError) as error:
        raise line.wrong(str(error)) from None
    return {name: value for name, value in found.items() if name != "weight" or "weight" in given}


def _record(given: Names, base: Names, declared: Mapping[str, str], file: Callable[[str], File]) -> dict[str, Any]:
    values, files = carried(base)
    named = msgspec.convert(given.get("files", {}), dict[str, str])
    return {
        "values": {**values, **checked_values(given.get("values", {}), declared)},
        "files": {**files, **{name: file(path) for name, path in named.items()}},
        "weight": msgspec.convert(given.get("weight", 1.0), float),
    }


def _fields(kind: type[Task], given: Names, base: Names, file: Callable[[str], File]) -> dict[str, Any]:
    """Those that the line has no value for are their parents'."""

    def hook(wanted: type, value: Any) -> Any:
        return file(value) if wanted is File else wanted(value)

    values, files = carried(base)
    names = [field.name for field in attrs.fields(kind)]
    kept = {name: value for name, value in {**values, **{n: f.path for n, f in files.items()}}.items() if name in names}
    made = msgspec.convert({**kept, **given, "id": "-"}, kind, dec_hook=hook)
    return {name: getattr(made, name) for name in names if name not in ("id", "parents")}
