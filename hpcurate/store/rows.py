"""Rows: one task as one line of JSON, read back as exactly the class it was written from.

The fast path is msgspec. What JSON or msgspec cannot hold (NaN, undecodable file names) goes through the
standard library, which writes `NaN` and lone surrogates; reading tries the fast path first. Runs in every
stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, Callable, Generic, Optional, TypeVar

import attrs
import msgspec

from hpcurate.errors import PipelineError, RecordError
from hpcurate.store.row_block import RowBlock
from hpcurate.store.row_types import (
    compared_fields,
    field_types,
    has_odd_keys,
    kinds_in,
    loose_fields,
    may_be_custom,
    may_be_key,
    may_name_files,
    sample_of,
)
from hpcurate.store.row_values import lost, plain_json, refuse_objects, to_plain
from hpcurate.store.saved_rows import MARK, saved_in, with_saved
from hpcurate.system.garbage import uncollected
from hpcurate.task import File, Task, any_saved, put_saved, saved_of

__all__ = ["Codec", "check_task_type", "codec"]

T = TypeVar("T", bound=Task)


def _from_plain(root: Optional[str]) -> Callable[[type, Any], Any]:
    def hook(kind: type, value: Any) -> Any:
        if kind is File:
            return File(value, None if root is None else os.path.join(root, value))
        if issubclass(kind, PurePath):
            return kind(value)
        raise NotImplementedError

    return hook


class Codec(Generic[T]):
    """Writes and reads tasks of one class.

    `root` is the folder that `File` references start from; None when no file will be opened. `on_file` is called with
    each `File` that is written and its task, maybe more than once.
    """

    def __init__(
        self, cls: type[T], root: Optional[str] = None, on_file: Optional[Callable[[File, T], None]] = None
    ) -> None:
        self.cls = cls
        self._root, self._hook = root, _from_plain(root)
        self._on_file = on_file
        self._may_name_files = on_file is not None and may_name_files(cls)
        self._written: Optional[T] = None
        """The task whose row is made now."""
        self._to_plain = to_plain if on_file is None else self._noting_files
        self._encoder = msgspec.json.Encoder(enc_hook=self._to_plain, order="deterministic")
        self._decoder = msgspec.json.Decoder(cls, dec_hook=self._hook)
        self._loose = loose_fields(cls)
        self._own_saved = "saved" in {field.name for field in attrs.fields(cls)} if attrs.has(cls) else True
        """Whether the class has a field of that name: then nothing can be saved with its tasks."""
        types = field_types(cls).values()  # type: ignore[arg-type]  # mypy: an instance has no hash, the class has one
        self._odd_keys = any(has_odd_keys(kind) for kind in types)
        self._compared = compared_fields(cls, keys=self._odd_keys)
        self._block: Optional[RowBlock] = None

    def encode_block(self, tasks: Sequence[T]) -> bytes:
        """All rows, each with its end. Raises RecordError for the first task that `encode` raises it for."""
        if not self._odd_keys and not any_saved(tasks):
            if self._block is None:
                self._block = RowBlock(self.cls, self._loose, self._compared, self._hook)
            data = self._block.encode(tasks, lambda: self._encoder.encode_lines(self._one_by_one(tasks)))
            if data is not None:
                return data
        return b"".join(self.encode_lines(tasks))

    def _one_by_one(self, tasks: Sequence[T]) -> Iterable[T]:
        """In order, and known while each is written; the list itself where that takes no part."""
        return map(self._now, tasks) if self._may_name_files else tasks

    def _now(self, task: T) -> T:
        self._written = task
        return task

    def _noting_files(self, value: Any) -> Any:
        if isinstance(value, File):
            self._on_file(value, self._written)  # type: ignore[misc, arg-type]  # there are both by now
        return to_plain(value)

    def encode(self, task: T) -> bytes:
        """One line without its newline. Raises RecordError naming task, field and cause."""
        line, saved = self._encoded(task), saved_of(task)
        for one in saved.values() if self._on_file else ():
            self._on_file(one.file, task)  # type: ignore[misc]  # there is one
            self._on_file(one.about, task)  # type: ignore[misc]
        return with_saved(line, saved) if saved else line

    def _encoded(self, task: T) -> bytes:
        self._written = task
        if not task.id:
            raise RecordError(f"a {self.cls.__qualname__} has an empty id; ids name tasks and their files")
        if type(task) is not self.cls:
            raise RecordError(
                f"expected a {self.cls.__qualname__}, got a {type(task).__qualname__}; "
                "a stage returns exactly the class it declares"
            )
        try:
            if not self._odd_keys and all(plain_json(getattr(task, name)) for name in self._loose):
                return self._checked(task, self._encoder.encode(task))
        except UnicodeEncodeError:
            pass
        except (TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"task {task.id!r} ({self.cls.__qualname__}): {error}") from None
        return self._checked(task, self._encode_odd(task))

    def _checked(self, task: T, line: bytes) -> bytes:
        """The line, once it is known that the reader will take it: attrs does not check types of values."""
        try:
            back = self.decode(line)
        except RecordError as error:
            raise RecordError(f"task {task.id!r}: {error}") from None
        for name in self._compared:
            if gone := lost(getattr(task, name), getattr(back, name)):
                raise RecordError(f"task {task.id!r} ({self.cls.__qualname__}): {name}{gone}")
        return line

    def decode(self, line: bytes) -> T:
        """The task of one line. Raises RecordError."""
        task = self._decoded(line)
        if MARK in line and not self._own_saved:
            put_saved(task, saved_in(line, self._root))
        return task

    def _decoded(self, line: bytes) -> T:
        try:
            return self._decoder.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            return msgspec.convert(json.loads(line), self.cls, dec_hook=self._hook, str_keys=True)
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            raise RecordError(f"not a {self.cls.__qualname__}: {error}: {line[:200]!r}") from None

    def decode_lines(self, data: bytes) -> list[T]:
        """All tasks of a manifest. Raises RecordError."""
        return self.decode_rows(data, data.count(b"\n") + (data[-1:] not in (b"\n", b"")))

    def decode_rows(self, data: bytes, count: int) -> list[T]:
        """Tasks of so many lines. Raises RecordError."""
        if MARK in data and not self._own_saved:
            return [self.decode(line) for line in data.splitlines() if line]
        try:
            with uncollected():
                found: list[T] = self._decoder.decode_lines(data)
            if len(found) == count:
                return found
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            pass
        return [self.decode(line) for line in data.splitlines() if line]

    def encode_lines(self, tasks: Iterable[T]) -> Iterator[bytes]:
        """Lines with their newline."""
        for task in tasks:
            yield self.encode(task) + b"\n"

    def _encode_odd(self, task: T) -> bytes:
        try:
            builtins = msgspec.to_builtins(task, enc_hook=self._to_plain, order="deterministic", str_keys=True)
            refuse_objects(builtins)
            return json.dumps(builtins, separators=(",", ":"), ensure_ascii=True).encode()
        except (TypeError, ValueError) as error:
            raise RecordError(f"task {task.id!r} ({self.cls.__qualname__}): {error}") from None


_CODECS: dict[tuple[type, Optional[str]], Any] = {}


def codec(cls: type[T], root: Optional[str] = None) -> Codec[T]:
    """A shared codec of the class."""
    key = (cls, root)
    if key not in _CODECS:
        _CODECS[key] = Codec(cls, root)
    found: Codec[T] = _CODECS[key]
    return found


# -- whether a class can be a row --------------------------------------------------------------------


def check_task_type(cls: type[Task]) -> None:
    """Prove that the class survives a row: every field's type, with a sample through a round trip.

    Raises PipelineError naming the field and what to use instead.
    """
    if not attrs.has(cls) or "__attrs_attrs__" not in cls.__dict__:
        raise PipelineError(f"{cls.__qualname__} needs @attrs.define(kw_only=True), as all tasks do")
    try:
        fields = msgspec.inspect.type_info(cls).fields  # type: ignore[attr-defined]
    except (TypeError, NameError) as error:
        raise PipelineError(f"{cls.__qualname__}: {error}") from None
    for field in fields:
        for kind in kinds_in(field.type):
            if isinstance(kind, msgspec.inspect.CustomType) and not may_be_custom(kind.cls):
                raise PipelineError(
                    f"{cls.__qualname__}.{field.name}: a {kind.cls.__qualname__} cannot stand in a row; "
                    "write it to self.file(…) and declare the field as hpcurate.File"
                )
            if isinstance(kind, msgspec.inspect.DictType) and not may_be_key(kind.key_type):
                raise PipelineError(
                    f"{cls.__qualname__}.{field.name}: keys of a dict in a row are text, whole or real numbers, or one "
                    "of an enum, dates, UUIDs; declare one of these, or a list of pairs"
                )
    kind_of_task: Any = cls
    try:
        sample = kind_of_task(**{f.name: sample_of(f.type) for f in fields})
        back = Codec(kind_of_task, "/").decode(Codec(kind_of_task).encode(sample))
    except (RecordError, RecursionError, TypeError) as error:
        raise PipelineError(f"{cls.__qualname__} does not survive a row: {error}") from None
    if back != sample:
        raise PipelineError(f"{cls.__qualname__} changes when it is written and read: {sample} became {back}")
