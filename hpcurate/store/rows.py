"""Rows: one task as one line of JSON, read back as exactly the class it was written from.

The fast path is msgspec. What JSON or msgspec cannot hold (NaN, undecodable file names) goes through the
standard library, which writes `NaN` and lone surrogates; reading tries the fast path first. Runs in every
stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import enum
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, Callable, Generic, Optional, TypeVar

import attrs
import msgspec

from hpcurate.errors import PipelineError, RecordError
from hpcurate.store.row_types import (
    compared_fields,
    field_types,
    has_odd_keys,
    kinds_in,
    loose_fields,
    may_be_custom,
    may_be_key,
    sample_of,
)
from hpcurate.task import File, Task

__all__ = ["Codec", "check_task_type", "codec"]

T = TypeVar("T", bound=Task)
_JSON = (str, int, float, bool, type(None))


def _to_plain(value: Any) -> Any:
    if isinstance(value, File):
        return value.ref
    if isinstance(value, PurePath):
        return os.fspath(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a numpy or torch scalar
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot stand in a row; write it to self.file(…) instead")


def _noting_files(on_file: Callable[[File], None]) -> Callable[[Any], Any]:
    def hook(value: Any) -> Any:
        if isinstance(value, File):
            on_file(value)
        return _to_plain(value)

    return hook


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
    each `File` that is written, maybe more than once.
    """

    def __init__(
        self, cls: type[T], root: Optional[str] = None, on_file: Optional[Callable[[File], None]] = None
    ) -> None:
        self.cls = cls
        self._hook = _from_plain(root)
        self._to_plain = _to_plain if on_file is None else _noting_files(on_file)
        self._encoder = msgspec.json.Encoder(enc_hook=self._to_plain, order="deterministic")
        self._decoder = msgspec.json.Decoder(cls, dec_hook=self._hook)
        self._loose = loose_fields(cls)
        types = field_types(cls).values()  # type: ignore[arg-type]  # mypy: an instance has no hash, the class has one
        self._odd_keys = any(has_odd_keys(kind) for kind in types)
        self._compared = compared_fields(cls, keys=self._odd_keys)

    def encode(self, task: T) -> bytes:
        """One line without its newline. Raises RecordError naming task, field and cause."""
        if not task.id:
            raise RecordError(f"a {self.cls.__qualname__} has an empty id; ids name tasks and their files")
        if type(task) is not self.cls:
            raise RecordError(
                f"expected a {self.cls.__qualname__}, got a {type(task).__qualname__}; "
                "a stage returns exactly the class it declares"
            )
        try:
            if not self._odd_keys and all(_plain_json(getattr(task, name)) for name in self._loose):
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
            if lost := _lost(getattr(task, name), getattr(back, name)):
                raise RecordError(f"task {task.id!r} ({self.cls.__qualname__}): {name}{lost}")
        return line

    def decode(self, line: bytes) -> T:
        """The task of one line. Raises RecordError."""
        try:
            return self._decoder.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            return msgspec.convert(json.loads(line), self.cls, dec_hook=self._hook, str_keys=True)
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            raise RecordError(f"not a {self.cls.__qualname__}: {error}: {line[:200]!r}") from None

    def decode_lines(self, data: bytes) -> list[T]:
        """All tasks of a manifest."""
        return [self.decode(line) for line in data.splitlines() if line]

    def encode_lines(self, tasks: Iterable[T]) -> Iterator[bytes]:
        """Lines with their newline."""
        for task in tasks:
            yield self.encode(task) + b"\n"

    def _encode_odd(self, task: T) -> bytes:
        try:
            builtins = msgspec.to_builtins(task, enc_hook=self._to_plain, order="deterministic", str_keys=True)
            _refuse_objects(builtins)
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


def _plain_json(value: Any) -> bool:
    """True if the fast path keeps `value`; raises TypeError for what no row can hold."""
    if type(value) is float:
        return math.isfinite(value)
    if value is None or type(value) in (str, int, bool):
        return True
    if isinstance(value, dict):
        if not all([isinstance(key, str) for key in value]):
            raise TypeError(f"keys of a row are strings, got {value!a:.80}; other keys are declared: dict[int, …]")
        return all([_plain_json(inner) for inner in value.values()])
    if isinstance(value, (list, tuple, set, frozenset)):
        return all([_plain_json(v) for v in value])
    if attrs.has(type(value)):
        return all([_plain_json(getattr(value, f.name)) for f in attrs.fields(type(value))])
    return isinstance(value, enum.Enum) or not _is_odd_scalar(value)


def _is_odd_scalar(value: Any) -> bool:
    plain = _to_plain(value)
    return isinstance(plain, float) and not math.isfinite(plain)


def _refuse_objects(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_objects(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_objects(inner)
    elif not isinstance(value, _JSON):
        raise TypeError(f"a {type(value).__name__} cannot stand in a row")


def _lost(value: Any, back: Any) -> str:
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
            if lost := _lost(inner, back[key]):
                return f"[{key!r}]{lost}"
    elif isinstance(back, (list, tuple)):
        for number, (inner, read) in enumerate(zip(value, back)):
            if lost := _lost(inner, read):
                return f"[{number}]{lost}"
    elif isinstance(back, (set, frozenset)):
        kinds = {type(read): read for read in back}
        return next((_lost(v, next(iter(back))) for v in value if kinds and type(v) not in kinds), "")
    return ""


def _lost_of_class(value: Any, back: Any, names: tuple[str, ...]) -> str:
    if type(value) is not type(back):
        if _fields_to_compare(type(value)) is None:
            return ""  # a dict that is read as the class
        kinds = f"a {type(value).__qualname__} where {type(back).__qualname__} is declared"
        return f" holds {kinds}: what it adds would be lost; declare the field as that class"
    for name in names:
        if lost := _lost(getattr(value, name), getattr(back, name)):
            return f".{name}{lost}"
    return ""


_COMPARED: dict[type, Optional[tuple[str, ...]]] = {}


def _fields_to_compare(cls: type) -> Optional[tuple[str, ...]]:
    """Fields of a class that has fields, without those of plain types; None for another class."""
    if cls not in _COMPARED:
        known = attrs.has(cls) or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__struct_fields__")
        _COMPARED[cls] = compared_fields(cls, keys=True) if known else None
    return _COMPARED[cls]


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
