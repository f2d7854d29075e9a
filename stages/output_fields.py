"""What is written of a task: each field of its class, by itself.

A field is a column of the table and a key of the task's metadata file, under its own name; nothing else lists them.
`metadata=output(…)` says it differently, `metadata=internal()` keeps a field out. The fields of `Task` itself are not
written. Both hold the same values: what JSON holds of them, and what has no one type in Parquet is JSON text there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import PurePath, PurePosixPath
from typing import Any, ClassVar, Literal, TypeVar

import attrs
import msgspec

from hpcurate import File, Task
from hpcurate.errors import PipelineError, StageError
from hpcurate.store.row_types import field_types, kinds_in
from stages.layout import METADATA, output_path, readable
from stages.output_types import ColumnType, column_type, is_file, may_be_none

Extended = TypeVar("Extended", bound="OutputTask")
Place = Literal["json", "parquet"]
OUTPUT = "output"
"""Key of the attrs metadata that holds a field's `Output`."""
ITS_OWN = ""
"""In place of the suffix of a published file: that of the file itself."""
FOLDER = "/"
"""In place of the suffix: a folder for each task, with the file under its own name in it."""


@attrs.define(frozen=True, kw_only=True)
class Output:
    """How one value appears in the output."""

    name: str | None = None
    """Column and key; None: the field's name."""
    only: Place | None = None
    """The one place where it is written; None: both."""
    order: float = math.inf
    """Position. Values without one follow, in the order of the fields."""
    arrow: str | None = None
    """Arrow's name of the column's type, if it is not the usual one of the field's type."""
    nullable: bool | None = None
    """Whether the column may hold nulls; None: if the field may be None."""
    file: tuple[str, str] | None = None
    """Folder and suffix (or `ITS_OWN`, `FOLDER`) under which a `File` is published; its value is the path there. None:
    a folder named like the field, with the file's own suffix."""


@attrs.define(frozen=True, kw_only=True)
class Computed:
    """A value of the output that is no field of the task."""

    value: Callable[[Any], Any]
    """Makes it from the task."""
    type: Any
    output: Output


@attrs.define(kw_only=True)
class OutputTask(Task):
    """A task whose values are written to the output."""

    computed: ClassVar[Sequence[Computed]] = ()
    """Values beside those of the fields."""

    def shared_files(self, fan: int) -> list[tuple[File, str]]:
        """Files that are not in a field of their own, some with values of several tasks: each with its path relative to
        the output.
        """
        return []

    def extended(self, cls: type[Extended], **fields: Any) -> Extended:
        """This task as one of a derived class, with values for the fields that the derived class adds.

        Raises StageError for a class that has not all the fields of this one: their values would be lost.
        """
        own = {field.name: field.alias for field in attrs.fields(type(self)) if field.init}
        lost = sorted(set(own) - {field.name for field in attrs.fields(cls)})
        if lost:
            raise StageError(
                f"a {type(self).__qualname__} cannot become a {cls.__qualname__}, which has no field {lost[0]!r}; "
                f"write class {cls.__qualname__}({type(self).__qualname__})"
            )
        made = cls(**{**{alias: getattr(self, name) for name, alias in own.items()}, **fields})
        made.memory.update(self.memory)
        return made


def output(
    name: str | None = None,
    *,
    only: Place | None = None,
    order: float = math.inf,
    arrow: str | None = None,
    nullable: bool | None = None,
    file: tuple[str, str] | None = None,
) -> dict[str, Output]:
    """Metadata of a field that is written otherwise than by itself: see `Output`."""
    return {OUTPUT: Output(name=name, only=only, order=order, arrow=arrow, nullable=nullable, file=file)}


def internal() -> dict[str, None]:
    """Metadata of a field that is not written."""
    return {OUTPUT: None}


@attrs.define(frozen=True)
class Entry:
    """One value of the output, with where it comes from."""

    name: str
    type: Any
    """As msgspec describes it."""
    output: Output
    get: Callable[[Any], Any]
    field: str = ""
    """The field of the class; empty for what is computed."""

    @property
    def nullable(self) -> bool:
        """Whether the value may be missing."""
        return may_be_none(self.type) if self.output.nullable is None else self.output.nullable

    @property
    def published(self) -> tuple[str, str] | None:
        """Folder and suffix of its files; None for what is no file."""
        return (self.output.file or (self.name, ITS_OWN)) if is_file(self.type) else None

    @property
    def column(self) -> ColumnType:
        """What it is in a table."""
        return column_type(self.type)

    def value(self, task: OutputTask, fan: int) -> Any:
        """The value in the types of JSON, numbers that JSON has no word for included."""
        found = self.get(task)
        if self.published is None:
            return _readable(msgspec.to_builtins(found, enc_hook=_plain, order="deterministic", str_keys=True))
        folder, suffix = self.published
        if found is None and (self.nullable or suffix in (ITS_OWN, FOLDER)):
            return None
        return output_path(folder, task.id, _suffix(found, suffix), fan)


def entries(cls: type[OutputTask], place: Place) -> tuple[Entry, ...]:
    """The columns, or the keys, of a task class, in order. Raises PipelineError for what cannot be written."""
    return tuple(entry for entry in _entries(cls) if entry.output.only in (None, place))


def check_output(cls: type[OutputTask]) -> None:
    """Raise PipelineError, naming the field, if tasks of the class cannot be written."""
    entries(cls, "json")


def record(task: OutputTask, place: Place, fan: int) -> dict[str, Any]:
    """All columns or keys of one task, with their values."""
    return {entry.name: entry.value(task, fan) for entry in entries(type(task), place)}


def metadata(task: OutputTask, fan: int) -> bytes:
    """The metadata file of a task: nothing that differs between two runs. Pure."""
    return (json_text(record(task, "json", fan), indent=2) + "\n").encode()


def json_text(value: Any, **how: Any) -> str:
    """As JSON that every reader takes: NaN and infinity are null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, **how)


def published_files(task: OutputTask, fan: int) -> list[tuple[File, str]]:
    """The files of a task that are published, each with its path relative to the output."""
    files = [entry for entry in _entries(type(task)) if entry.published]
    found = [(entry.get(task), entry.value(task, fan)) for entry in files]
    return [*((file, path) for file, path in found if file is not None), *task.shared_files(fan)]


def _entries(cls: Any) -> tuple[Entry, ...]:
    return _checked_once(cls)  # for mypy: a task has no hash, its class has one


@cache
def _checked_once(cls: Any) -> tuple[Entry, ...]:
    found = every_entry(cls)
    _check_files(cls, found)
    return found


@cache
def every_entry(cls: Any) -> tuple[Entry, ...]:
    """Each value that is written of a class of tasks, in order; files may be anywhere in them. Raises PipelineError."""
    types = field_types(cls)
    known = {field.name for field in attrs.fields(Task)}
    found = [
        Entry(declared.name or field.name, types[field.name], declared, _getter(field.name), field.name)
        for field in attrs.fields(cls)
        if field.name not in known and (declared := field.metadata.get(OUTPUT, Output())) is not None
    ]
    for more in getattr(cls, "computed", ()):  # any class of tasks may be a row
        found.append(Entry(str(more.output.name), msgspec.inspect.type_info(more.type), more.output, more.value))
    _check_hidden(cls)
    _check_names(cls, found)
    return tuple(sorted(found, key=lambda entry: entry.output.order))


def _check_hidden(cls: type) -> None:
    """A field that is called like a method would take its place."""
    for field in attrs.fields(cls):
        hidden = [vars(base)[field.name] for base in cls.__mro__ if field.name in vars(base)]
        if any(callable(one) or isinstance(one, property) for one in hidden):
            raise PipelineError(
                f"{cls.__qualname__}: {field.name} is the name of a method of these tasks; call the field otherwise, "
                f"and if it is to be written as that: metadata=output({field.name!r})"
            )


def _check_names(cls: type, found: Sequence[Entry]) -> None:
    names = [entry.name for entry in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PipelineError(
            f"{cls.__qualname__}: two values are written as {twice[0]!r}; give one of the fields another name: "
            "metadata=output('another_name')"
        )


def _check_files(cls: type, found: Sequence[Entry]) -> None:
    """A file is a field of its own, and no two are published under one path."""
    folders: dict[str, set[str]] = {METADATA: {ITS_OWN}}
    for entry in found:
        if entry.published is None and any(is_file(kind) for kind in kinds_in(entry.type)):
            raise PipelineError(
                f"{cls.__qualname__}: {entry.name} holds files inside a {_word(entry.type)}, which are not published; "
                "give each a field of its own, or keep the field out: metadata=internal()"
            )
        if entry.published is not None:
            folder, suffix = entry.published
            others = folders.setdefault(folder.partition("/")[0], set())
            if others and (ITS_OWN in (suffix, *others) or suffix in others):
                raise PipelineError(
                    f"{cls.__qualname__}: the files of {entry.name} would be published into {folder}/, where others "
                    "are; name another folder: metadata=output(file=('another_folder', '.png'))"
                )
            others.add(suffix)


def _word(kind: Any) -> str:
    return type(kind).__name__.removesuffix("Type").lower()


def _suffix(file: File | None, suffix: str) -> str:
    if suffix == FOLDER:
        return f"/{file.name}" if file else ""
    return PurePosixPath(file.ref).suffix if suffix == ITS_OWN and file else suffix


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda task: getattr(task, name)


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a numpy or torch scalar
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written")


def _readable(value: Any) -> Any:
    """Text without undecodable bytes."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_readable(key): _readable(inner) for key, inner in value.items()}
    return [_readable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value
