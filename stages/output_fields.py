"""Which values of a task are written to the output. Each field declares it, in its attrs metadata.

A field declared with `metadata=output("blur")`, in `ClipTask` or in a class derived from it, is a column of
`clips.parquet` and a key of the clip's metadata file; nothing else lists them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

from hpcurate import File, Task
from hpcurate.errors import PipelineError
from stages.layout import output_path, readable

if TYPE_CHECKING:
    import pyarrow

Extended = TypeVar("Extended", bound="OutputTask")
Kind = Literal["column", "key"]
OUTPUT = "output"
"""Key of the attrs metadata that holds a field's `Output`."""


@attrs.define(frozen=True, kw_only=True)
class Output:
    """How one value appears in the output."""

    column: str | None = None
    """Column of `clips.parquet`; None for no column."""
    key: str | None = None
    """Key of the metadata file; None for no key."""
    order: tuple[float, float] = (math.inf, math.inf)
    """Position of column and key. Those without one follow, in the order of the fields."""
    arrow: str | None = None
    """Arrow's name of the column's type, if it is not the usual one of the field's type."""
    nullable: bool | None = None
    """Whether the column may hold nulls; None: if the field may be None."""
    file: tuple[str, str] | None = None
    """Folder and suffix under which a `File` is published; its value is the path there."""


@attrs.define(frozen=True, kw_only=True)
class Computed:
    """A value of the output that is no field of the task."""

    value: Callable[[Any], Any]
    """Makes it from the task."""
    type: Any
    output: Output


@attrs.define(kw_only=True)
class OutputTask(Task):
    """A task whose class declares which of its values are written to the output."""

    computed: ClassVar[Sequence[Computed]] = ()
    """Values beside those of the fields."""

    def shared_files(self, fan: int) -> list[tuple[File, str]]:
        """Files with values of several tasks, each with its path relative to the output: published once."""
        return []

    def extended(self, cls: type[Extended], **fields: Any) -> Extended:
        """This task as one of a derived class, with values for the fields that the derived class adds."""
        made = cls(**{field.name: getattr(self, field.name) for field in attrs.fields(type(self))}, **fields)
        made.memory.update(self.memory)
        return made


def output(
    name: str | None = None,
    *,
    column: str | None = None,
    key: str | None = None,
    order: tuple[float, float] = (math.inf, math.inf),
    arrow: str | None = None,
    nullable: bool | None = None,
    file: tuple[str, str] | None = None,
) -> dict[str, Output]:
    """Metadata of a field that is written: `name` is both column and key, unless one of them differs."""
    return {
        OUTPUT: Output(column=column or name, key=key or name, order=order, arrow=arrow, nullable=nullable, file=file)
    }


@attrs.define(frozen=True)
class Entry:
    """One value of the output, with where it comes from."""

    name: str
    type: Any
    output: Output
    get: Callable[[Any], Any]

    @property
    def nullable(self) -> bool:
        """Whether the value may be missing."""
        return type(None) in get_args(self.type) if self.output.nullable is None else self.output.nullable

    def value(self, task: OutputTask, fan: int) -> Any:
        """The value as JSON and Arrow hold it."""
        found = self.get(task)
        if self.output.file is None:
            return plain(found)
        folder, suffix = self.output.file
        return None if found is None and self.nullable else output_path(folder, task.id, suffix, fan)


@cache
def entries(cls: type[OutputTask], kind: Kind) -> tuple[Entry, ...]:
    """The columns or the keys of a task class, in order."""
    index = 0 if kind == "column" else 1
    named = [(getattr(entry.output, kind), entry) for entry in _all_entries(cls)]
    chosen = [attrs.evolve(entry, name=name) for name, entry in named if name is not None]
    names = [entry.name for entry in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PipelineError(f"{cls.__qualname__}: two fields have the {kind} {twice[0]!r} in their output metadata")
    return tuple(sorted(chosen, key=lambda entry: entry.output.order[index]))


def record(task: OutputTask, kind: Kind, fan: int) -> dict[str, Any]:
    """All columns or keys of one task, with their values."""
    return {entry.name: entry.value(task, fan) for entry in entries(type(task), kind)}  # type: ignore[arg-type]  # mypy


def published_files(task: OutputTask, fan: int) -> list[tuple[File, str]]:
    """The files of a task that are published, each with its path relative to the output."""
    found = [(entry.get(task), entry.value(task, fan)) for entry in _all_entries(type(task)) if entry.output.file]
    return [*((file, path) for file, path in found if file is not None), *task.shared_files(fan)]


def plain(value: Any) -> Any:
    """Text without undecodable bytes, lists of such; anything else as it is."""
    if isinstance(value, str):
        return readable(value)
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def schema(cls: type[OutputTask]) -> pyarrow.Schema:
    """The columns of a task class, with their Arrow types."""
    import pyarrow

    found = entries(cls, "column")  # type: ignore[arg-type]  # mypy: an instance has no hash, the class has one
    return pyarrow.schema([pyarrow.field(e.name, _arrow_type(e, cls), nullable=e.nullable) for e in found])


def _all_entries(cls: type[OutputTask]) -> list[Entry]:
    hints = get_type_hints(cls)
    fields = [
        Entry(field.name, hints[field.name], field.metadata[OUTPUT], _getter(field.name))
        for field in attrs.fields(cls)
        if OUTPUT in field.metadata
    ]
    return [*fields, *(Entry("", more.type, more.output, more.value) for more in cls.computed)]


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda task: getattr(task, name)


def _arrow_type(entry: Entry, cls: type[OutputTask]) -> Any:
    import pyarrow

    if entry.output.arrow is not None:
        return pyarrow.type_for_alias(entry.output.arrow)
    found = _usual_type(entry.type)
    if found is None:
        raise PipelineError(
            f"{cls.__qualname__}: no Arrow type is known for the column {entry.name!r} ({entry.type}); name one, "
            f"e.g. output({entry.name!r}, arrow='float')"
        )
    return found


def _usual_type(hint: Any) -> Any:
    """Arrow's type for a field's type; None if there is no usual one."""
    import pyarrow

    if get_origin(hint) in (Union, UnionType):
        (hint,) = [part for part in get_args(hint) if part is not type(None)][:1]
    if get_origin(hint) in (list, tuple):
        item = _usual_type(get_args(hint)[0])
        return None if item is None else pyarrow.list_(item)
    names = {str: "string", File: "string", bool: "bool", int: "int64", float: "float64"}
    return pyarrow.type_for_alias(names[hint]) if hint in names else None
