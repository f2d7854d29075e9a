"""Rows of many tasks at once: the same bytes as one by one, or the same error."""

from __future__ import annotations

import dataclasses
import datetime
import gc
import itertools
import math
import pathlib
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_stages import Colour, Rich, Span

from hpcurate import File, Task
from hpcurate.errors import RecordError
from hpcurate.store.row_block import RowBlock, light
from hpcurate.store.rows import Codec, codec


@attrs.define(kw_only=True)
class Scored(Task):
    """As most tasks are: numbers and texts."""

    source: str = ""
    start_s: float = 0.0
    score: float | None = None
    either: int | float | str = 0
    scores: list[float] = attrs.field(factory=list)
    gaps: list[float | None] = attrs.field(factory=list)
    by_name: dict[str, float] = attrs.field(factory=dict)
    box: tuple[int, float] | None = None
    label: Literal["a", "b"] = "a"


@dataclasses.dataclass
class Plain:
    """A class that is no attrs class."""

    x: float = 0.0


@attrs.define(kw_only=True)
class Nested(Task):
    """Fields with other classes and anything in them."""

    span: Span | None = None
    spans: list[Span] = attrs.field(factory=list)
    plain: Plain | None = None
    place: pathlib.Path | None = None
    file: File | None = None
    files: dict[str, File] = attrs.field(factory=dict)
    when: datetime.datetime | None = None
    values: dict[str, Any] = attrs.field(factory=dict)
    anything: Any = None


@attrs.define(kw_only=True)
class Positive(Task):
    """Its reader may refuse what its fields' types allow."""

    score: float = attrs.field(default=1.0)

    @score.validator
    def _check(self, _: Any, value: float) -> None:
        if value < 0:
            raise ValueError("below zero")


@attrs.define(kw_only=True)
class OddKeys(Task):
    """Never written many at once."""

    by_number: dict[int, float] = attrs.field(factory=dict)


@attrs.define
class LongSpan(Span):
    """A subclass whose field would be lost."""

    chapter: str = ""


@attrs.define(eq=False)
class Unequal:
    """Equals nothing."""

    x: float = 0.0


ODD: list[Any] = [
    math.nan, math.inf, -math.inf, None, 7, 2**70, 1.5, True, "text", "", "\udcff", "a", "null", "b\n", b"bytes",
    datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), datetime.date(2024, 1, 2), uuid.UUID(int=5), Decimal("1.5"), Colour.BLUE,
    np.float64("nan"), np.float64(1.5), np.float32(0.1), np.int64(3), np.str_("n"), np.zeros(2), np.zeros(()),
    pathlib.Path("a/b"), File("s/x.mp4"), Span(start_s=1.0), Span(start_s=math.nan), LongSpan(start_s=2.0, chapter="c"),
    Plain(), Plain(math.nan), Unequal(), object(), (1, 2.0), (1, math.nan), [1.0, None], [math.inf], {1.0},
    [Span(start_s=0.0)], [LongSpan(start_s=1.0)], {"a": 1.0}, {"a": math.nan}, {"a": None}, {3: 1.0}, {"a": {3: 4}},
    {"a": b"x"}, {"a": (1, 2)}, {"a": File("s/y.mp4")}, {"a": Unequal(math.nan)}, [[1.0], [math.nan]], (), [], {},
]  # fmt: skip
KINDS: list[type[Any]] = [Rich, Scored, Nested, Positive, OddKeys]


@st.composite
def tasks(draw: st.DrawFn, kind: type[Any]) -> list[Task]:
    """Some, mostly as they should be; here and there a field holds anything."""
    names = [field.name for field in attrs.fields(kind)]
    found = []
    for number in range(draw(st.integers(0, 4))):
        fields = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(ODD), max_size=2))
        required = {f.name: f.name for f in attrs.fields(kind) if f.default is attrs.NOTHING}
        task = kind(**{**required, "id": f"t{number}"})
        for name, value in fields.items():
            object.__setattr__(task, name, value)
        found.append(task)
    return found


def written(rows: Any) -> tuple[str, bytes]:
    """(how it was refused, or the bytes)."""
    try:
        return "", rows()
    except Exception as error:
        return f"{type(error).__name__}: {error}", b""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_many_at_once_are_written_as_one_by_one(kind: type[Any], data: st.DataObject) -> None:
    """The same bytes, or the same words about the same task."""
    some: Sequence[Any] = data.draw(tasks(kind))
    named: list[list[str]] = [[], []]
    block, single = (Codec(kind, on_file=lambda file, task, n=n: named[n].append((file.ref, task.id))) for n in (0, 1))  # type: ignore[misc]
    one_by_one = written(lambda: b"".join(single.encode(task) + b"\n" for task in some))
    assert one_by_one == written(lambda: block.encode_block(some))
    if not one_by_one[0]:
        assert set(named[1]) == set(named[0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_odd_value_in_each_field(kind: type[Any]) -> None:
    """Drawing at random does not find all of them every time."""
    rows = codec(kind)
    for field, value in itertools.product(attrs.fields(kind), ODD):
        required = {f.name: f.name for f in attrs.fields(kind) if f.default is attrs.NOTHING}
        some = [kind(**{**required, "id": "t0"}), kind(**{**required, "id": "t1"})]
        object.__setattr__(some[1], field.name, value)
        one_by_one = written(lambda some=some: b"".join(rows.encode(task) + b"\n" for task in some))
        assert one_by_one == written(lambda some=some: rows.encode_block(some)), (field.name, value)


def ordinary(kind: type[Any]) -> list[Any]:
    """Tasks that nothing is odd about."""
    if kind is Scored:
        fields = {"score": 0.5, "scores": [1.0], "gaps": [None, 1.0], "by_name": {"x": 1.5}, "box": (1, 2.0)}
        return [Scored(id="a"), Scored(id="b", **fields)]  # type: ignore[arg-type]
    return [Nested(id="a"), Nested(id="b", values={"x": [1.5, None, "null"]}, span=Span(start_s=1), file=File("s/x"))]


@pytest.mark.parametrize("kind", [Scored, Nested])
def test_ordinary_tasks_are_not_looked_at_one_by_one(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row was encoded, looked at and read back by itself."""
    monkeypatch.setattr(Codec, "encode", None)
    rows = codec(kind)
    assert ordinary(kind) == rows.decode_lines(rows.encode_block(ordinary(kind)))


def test_a_lighter_class_reads_rows_only_where_no_code_of_the_task_would_run() -> None:
    """A validator may refuse what the reader's types allow; a light class would not."""
    assert (True, False) == (light(Scored) is not None, light(Positive) is not None)
    assert RowBlock(Positive, (), (), lambda kind, value: value).encode([], lambda: b"") == b""


@pytest.mark.parametrize("rows", [b'{"id":"a"}{"id":"b"}\n', b'{"id":"a"}\n{"id":"b"', b'{"id":"a"}\nNaN\n'])
def test_lines_that_are_no_rows_are_refused_by_name(rows: bytes) -> None:
    """Two rows on one line are none; the decoder of many would take them."""
    with pytest.raises(RecordError, match="not a Task"):
        codec(Task).decode_lines(rows)


def test_odd_rows_among_many_are_read() -> None:
    """What the standard library wrote, between others."""
    some = [Scored(id="a"), Scored(id="\udcff", start_s=math.inf), Scored(id="c")]
    assert some == codec(Scored).decode_lines(codec(Scored).encode_block(some))


@pytest.mark.parametrize("collects", [True, False])
def test_no_search_for_garbage_while_rows_are_read(collects: bool) -> None:
    """All that it could look at is the tasks that were just made. Afterwards all is as it was."""
    found: list[str] = []
    data = codec(Scored).encode_block([Scored(id=str(n)) for n in range(5000)])
    note = lambda phase, info: found.append(phase)  # noqa: E731
    try:
        if not collects:
            gc.disable()
        gc.callbacks.append(note)
        read = codec(Scored).decode_rows(data, 5000)
        gc.callbacks.remove(note)
        assert (5000, collects) == (len(read), gc.isenabled())
    finally:
        gc.enable()
    assert len(found) <= 2  # at most one, at the end
