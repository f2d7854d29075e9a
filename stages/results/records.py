"""What is written of one task: a record of its values, and its files beside it. Pure.

Which values, `stages.output_fields` says; files may also be in a list or a dict, as in the `Record` of a command.
A path in a record is relative to the folder that the record is in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import attrs
from msgspec import inspect

from hpcurate import File, Record, Task
from hpcurate.errors import PipelineError, StageError
from hpcurate.store.row_types import kinds_in
from stages.output_fields import ITS_OWN, Entry, every_entry, json_text
from stages.output_types import is_file
from stages.results.names import checked_path

ID = "id"
Source = File | str
"""What is published: a file that a stage has made, or the path of one that came in."""
Place = Callable[[str], str]
"""What a file of the task is called by the record, such as `preview.webp` → its path relative to the output."""


@attrs.define(frozen=True)
class Written:
    """What is written of one task."""

    fields: Mapping[str, Any]
    """The record."""
    files: tuple[tuple[Source, str], ...]
    """Each file with its path relative to the output."""

    def line(self) -> bytes:
        """The record as one line of JSON."""
        return encoded(self.fields) + b"\n"


def check_written(cls: type[Task]) -> None:
    """Raise PipelineError, naming the field, if tasks of the class cannot be written."""
    _entries(cls)


def written(task: Task, place: Place, folder: str) -> Written:
    """The record of a task that lies in `folder`, relative to the output, and its files. Raises StageError."""
    fields: dict[str, Any] = {ID: task.id}
    files: list[tuple[Source, str]] = []
    for entry in _entries(type(task)):
        if not holds_files(entry.type):
            fields[entry.name] = entry.value(task, 0)  # type: ignore[arg-type]  # any class of tasks may be a record
            continue
        found = {key: (file, checked_path(place(label))) for key, label, file in _files(entry, task)}
        files += found.values()
        paths = {key: os.path.relpath(path, folder or ".") for key, (_, path) in found.items()}
        fields[entry.name] = _as_declared(entry.get(task), paths)
    return Written(fields, tuple(files))


def encoded(fields: Mapping[str, Any]) -> bytes:
    """As JSON. The path of a file whose name is no UTF-8 has it in escapes, as Python reads and writes them."""
    try:
        return json_text(fields, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(json.loads(json_text(fields)), separators=(",", ":")).encode()


def check_once(paths: Iterable[str], task_id: str) -> None:
    """Raise StageError for a path that two files of a task would have."""
    seen = set[str]()
    for path in paths:
        if path in seen:
            raise StageError(f"task {task_id} has two files that would be {path!a}; rename one of its fields")
        seen.add(path)


def holds_files(kind: Any) -> bool:
    """Whether a value of the type is a file, or files."""
    return any(is_file(inner) for inner in kinds_in(kind))


def suffix_of(file: File) -> str:
    """That of the file's own name."""
    return PurePosixPath(file.ref).suffix


def _entries(cls: Any) -> tuple[Entry, ...]:
    return _checked_once(cls)  # for mypy: a task has no hash, its class has one


@cache
def _checked_once(cls: Any) -> tuple[Entry, ...]:
    found = [entry for entry in every_entry(cls) if entry.output.only in (None, "json")]
    for entry in found:
        if entry.name == ID and entry.field:
            raise PipelineError(f"{cls.__qualname__}: {entry.field} is written as 'id', which names the task itself")
        if holds_files(entry.type) and not _is_one_or_several(entry.type):
            raise PipelineError(
                f"{cls.__qualname__}: {entry.name} holds files deeper than in a list or in a dict with texts as keys; "
                "give each a field of its own, or keep the field out: metadata=internal()"
            )
    return tuple(entry for entry in found if entry.name != ID)


def _is_one_or_several(kind: Any) -> bool:
    kinds = [one for one in getattr(kind, "types", [kind]) if not isinstance(one, inspect.NoneType)]
    if len(kinds) != 1:
        return False
    (one,) = kinds
    if isinstance(one, inspect.ListType | inspect.VarTupleType):
        return is_file(one.item_type)
    if isinstance(one, inspect.DictType):
        return is_file(one.value_type) and isinstance(one.key_type, inspect.StrType)
    return is_file(one)


def _files(entry: Entry, task: Task) -> Iterator[tuple[Any, str, File]]:
    """(key in the field, label, file) of each file in a field; the label is what the file is called."""
    found, name = entry.get(task), entry.field or entry.name
    its_own = isinstance(task, Record)  # of a command: they have names, and the field has none to speak of
    if isinstance(found, Mapping):
        named = {key: key if its_own else f"{name}.{key}" for key in found}
    elif isinstance(found, (list, tuple)):
        found = dict(enumerate(found))
        named = {key: f"{name}.{key}" for key in found}
    else:
        found, named = {None: found}, {None: name}
    for key, file in found.items():
        if file is not None:
            yield key, named[key] + _suffix(entry, file), file


def _suffix(entry: Entry, file: File) -> str:
    declared = entry.output.file[1] if entry.output.file else ITS_OWN
    return declared if declared.startswith(".") else suffix_of(file)


def _as_declared(value: Any, paths: Mapping[Any, str]) -> Any:
    """Paths in the form that the field has: one, a list, or by key."""
    if isinstance(value, Mapping):
        return {key: paths.get(key) for key in value}
    if isinstance(value, (list, tuple)):
        return [paths.get(number) for number in range(len(value))]
    return paths.get(None)
