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
from pathlib import Path, PurePath
from typing import Any, Callable, Generic, Optional, TypeVar

import attrs
import msgspec

from hpcurate.errors import PipelineError, RecordError
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
        self._loose = _loose_fields(cls)

    def encode(self, task: T) -> bytes:
        """One line without its newline. Raises RecordError naming task, field and cause."""
        if type(task) is not self.cls:
            raise RecordError(
                f"expected a {self.cls.__qualname__}, got a {type(task).__qualname__}; "
                "a stage returns exactly the class it declares"
            )
        try:
            if all(_plain_json(getattr(task, name)) for name in self._loose):
                return self._checked(task, self._encoder.encode(task))
        except UnicodeEncodeError:
            pass
        except (TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"task {task.id!r} ({self.cls.__qualname__}): {error}") from None
        return self._checked(task, self._encode_odd(task))

    def _checked(self, task: T, line: bytes) -> bytes:
        """The line, once it is known that the reader will take it: attrs does not check types of values."""
        try:
            self.decode(line)
        except RecordError as error:
            raise RecordError(f"task {task.id!r}: {error}") from None
        return line

    def decode(self, line: bytes) -> T:
        """The task of one line. Raises RecordError."""
        try:
            return self._decoder.decode(line)
        except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError):
            pass
        try:
            return msgspec.convert(json.loads(line), self.cls, dec_hook=self._hook)
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
            builtins = msgspec.to_builtins(task, enc_hook=self._to_plain)
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
        return all([_plain_json(k) and _plain_json(v) for k, v in value.items()])
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
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys of a row are strings, got {key!r}")
            _refuse_objects(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_objects(inner)
    elif not isinstance(value, _JSON):
        raise TypeError(f"a {type(value).__name__} cannot stand in a row")


# -- what a declared type may hold ------------------------------------------------------------------


def _loose_fields(cls: type) -> tuple[str, ...]:
    """Fields that may hold NaN or something undeclared, and so are looked at before each write."""
    fields = getattr(msgspec.inspect.type_info(cls), "fields", ())
    info = msgspec.inspect
    loose = (info.FloatType, info.AnyType, info.CustomType)
    return tuple(f.name for f in fields if any(isinstance(k, loose) and not _file(k) for k in _kinds(f.type)))


def _file(kind: Any) -> bool:
    return isinstance(kind, msgspec.inspect.CustomType) and kind.cls is File


def _kinds(info: Any) -> Iterator[Any]:
    yield info
    for name in ("types", "item_types"):
        for inner in getattr(info, name, ()):
            yield from _kinds(inner)
    for name in ("item_type", "key_type", "value_type", "type"):
        inner = getattr(info, name, None)
        if isinstance(inner, msgspec.inspect.Type):
            yield from _kinds(inner)
    for field in getattr(info, "fields", ()):
        yield from _kinds(field.type)


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
        for kind in _kinds(field.type):
            if isinstance(kind, msgspec.inspect.CustomType) and not _known(kind.cls):
                raise PipelineError(
                    f"{cls.__qualname__}.{field.name}: a {kind.cls.__qualname__} cannot stand in a row; "
                    "write it to self.file(…) and declare the field as hpcurate.File"
                )
    kind_of_task: Any = cls
    sample = kind_of_task(**{f.name: _sample(f.type) for f in fields})
    back = Codec(kind_of_task, "/").decode(Codec(kind_of_task).encode(sample))
    if back != sample:
        raise PipelineError(f"{cls.__qualname__} changes when it is written and read: {sample} became {back}")


def _known(cls: type) -> bool:
    return cls is File or issubclass(cls, (Path, PurePath))


def _sample(kind: Any) -> Any:
    """A value of the type that stresses it: an undecodable name for strings, infinity for floats."""
    info = msgspec.inspect
    if isinstance(kind, info.UnionType):
        return _sample(next(t for t in kind.types if not isinstance(t, info.NoneType)))
    if isinstance(kind, info.CustomType):
        return kind.cls("a/b")
    simple: dict[Any, Any] = {
        info.StrType: "ü\udcff\n",
        info.FloatType: math.inf,
        info.IntType: 7,
        info.BoolType: True,
        info.ListType: [],
        info.DictType: {},
        info.AnyType: None,
        info.NoneType: None,
        info.BytesType: b"\x00\xff",
    }
    if type(kind) in simple:
        return simple[type(kind)]
    if isinstance(kind, info.VarTupleType):
        return (_sample(kind.item_type),)
    if isinstance(kind, info.TupleType):
        return tuple(_sample(t) for t in kind.item_types)
    if isinstance(kind, info.EnumType):
        return next(iter(kind.cls))
    if isinstance(kind, info.LiteralType):
        return kind.values[0]
    if isinstance(kind, info.DataclassType):
        return kind.cls(**{f.name: _sample(f.type) for f in kind.fields})
    return _sample_of_standard_type(kind)


def _sample_of_standard_type(kind: Any) -> Any:
    import datetime
    import decimal
    import uuid

    info = msgspec.inspect
    values: dict[Any, Any] = {
        info.DateTimeType: datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        info.DateType: datetime.date(2024, 1, 2),
        info.TimeType: datetime.time(3, 4, 5),
        info.TimeDeltaType: datetime.timedelta(seconds=1.5),
        info.UUIDType: uuid.UUID(int=5),
        info.DecimalType: decimal.Decimal("1.50"),
        info.SetType: set(),
        info.FrozenSetType: frozenset(),
    }
    try:
        return values[type(kind)]
    except KeyError:
        raise PipelineError(f"a field of type {kind} is not supported in a task") from None
