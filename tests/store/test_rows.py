"""Rows: what goes in comes out, or is refused by name."""

from __future__ import annotations

import datetime
import json
import math
import pathlib
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_stages import Colour, HoldsArray, NotDefined, Rich, Richer, Span

from hpcurate import File, Task
from hpcurate.errors import PipelineError, RecordError
from hpcurate.store.rows import check_task_type, codec

RICH = codec(Rich)


def back(**fields: Any) -> Rich:
    """A task after a round trip."""
    return RICH.decode(RICH.encode(Rich(id="a", **fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "plain ü 漢"},
        {"text": "two\nlines\r and a tab\t"},
        {"text": "undecodable \udcff name"},
        {"number": 2**60},
        {"score": math.inf},
        {"score": -math.inf},
        {"scores": [1.5, math.inf]},
        {"file": File("split-0123/shards/0001/files/a/clip.mp4")},
        {"path": pathlib.Path("/data/a b/\udcff.mp4")},
        {"colour": Colour.BLUE},
        {"span": Span(start_s=1.5, label="x")},
        {"span": Span(start_s=math.inf)},
        {"spans": [Span(start_s=0.0, end_s=math.inf, label="\udcff")]},
        {"pair": (7, "x")},
        {"table": {"a": math.inf, "b": 1.0}},
        {"extra": {"nested": [{"a": None}, True, "x", 1.5, math.inf]}},
        {"parents": ("p", "q")},
    ],
)
def test_a_field_survives_the_round_trip(fields: dict[str, Any]) -> None:
    """A row read is the task written."""
    assert Rich(id="a", **fields) == back(**fields)


@pytest.mark.parametrize("fields", [{"score": math.nan}, {"span": Span(start_s=math.nan)}, {"extra": {"x": math.nan}}])
def test_nan_stays_nan(fields: dict[str, Any]) -> None:
    """NaN is neither null nor an error, wherever it stands."""
    read = back(**fields)
    assert math.isnan(
        {"score": read.score, "span": read.span and read.span.start_s, "extra": read.extra.get("x")}[next(iter(fields))]
    )


@given(st.text(st.characters(exclude_categories=())), st.floats(allow_nan=False), st.lists(st.floats(allow_nan=False)))
def test_any_text_and_number_survives(text: str, score: float, scores: list[float]) -> None:
    """Surrogates, control characters, subnormals: all of them."""
    task = Rich(id=text or "empty", text=text, score=score, scores=scores)
    assert task == RICH.decode(RICH.encode(task))


def test_a_row_is_one_line() -> None:
    """No newline of a value ends the row."""
    assert b"\n" not in RICH.encode(Rich(id="a\nb", text="\r\n", extra={"k\n": "\udcff\n"}))


@pytest.mark.parametrize(
    ("field", "scalar", "plain"),
    [
        ("number", np.int64(7), 7),
        ("score", np.float32(0.5), 0.5),
        ("score", np.float64(math.inf), math.inf),
        ("extra", {"x": np.float64(1.5)}, {"x": 1.5}),
    ],
)
def test_numpy_scalars_become_plain(field: str, scalar: Any, plain: Any) -> None:
    """What numpy returns need not be converted by hand."""
    assert plain == getattr(back(**{field: scalar}), field)


@pytest.mark.parametrize("value", [b"bytes", np.zeros(3), object()])
def test_a_dict_of_anything_refuses_what_json_cannot_hold(value: object) -> None:
    """Heavy data belong into files."""
    with pytest.raises(RecordError, match=r"self\.file"):
        RICH.encode(Rich(id="a", extra={"x": value}))


@pytest.mark.parametrize(("field", "value"), [("number", 1.5), ("text", 3), ("score", "high"), ("spans", [None])])
def test_a_value_of_another_type_is_refused_when_it_is_written(field: str, value: Any) -> None:
    """The stage that made the mistake fails, not the one that reads."""
    with pytest.raises(RecordError, match=rf"'a'.*\$\.{field}"):
        RICH.encode(Rich(id="a", **{field: value}))


def test_a_subclass_is_refused() -> None:
    """A row would lose its further fields."""
    with pytest.raises(RecordError, match="expected a Rich, got a Richer"):
        RICH.encode(Richer(id="a"))


def test_a_file_is_read_with_its_place() -> None:
    """A reference is relative to the store; the codec's root makes it a path."""
    read = codec(Rich, "/store/stages").decode(RICH.encode(Rich(id="a", file=File("s/x.mp4"))))
    assert "/store/stages/s/x.mp4" == read.file.__fspath__()  # type: ignore[union-attr]


def test_a_broken_row_names_its_class() -> None:
    """Text that is no row is refused with the row."""
    with pytest.raises(RecordError, match=r"not a Rich: .*half a ro"):
        RICH.decode(b'{"id": "half a ro')


def test_memory_is_never_written() -> None:
    """`task.memory` lives for a hand-over in memory only."""
    task = Rich(id="a")
    task.memory["frames"] = object()
    assert b"frames" not in RICH.encode(task)


def test_every_plain_field_type_is_accepted() -> None:
    """The check passes what the round trip passes."""
    check_task_type(Rich)


def test_the_check_names_the_field_and_what_to_do() -> None:
    """An array in a task is refused before anything runs."""
    with pytest.raises(PipelineError, match=r"HoldsArray\.pixels: a ndarray cannot.*self\.file"):
        check_task_type(HoldsArray)


def test_the_check_wants_attrs() -> None:
    """A subclass without `attrs.define` is refused by name."""
    with pytest.raises(PipelineError, match=r"NotDefined needs @attrs\.define\(kw_only=True\)"):
        check_task_type(NotDefined)


def test_the_check_refuses_an_unknown_annotation() -> None:
    """A forward reference to nothing is a user's mistake, not a traceback."""
    made = attrs.make_class("Odd", {"x": attrs.field(type="Nowhere")}, bases=(Task,), kw_only=True)
    made.__annotations__ = {"x": "Nowhere"}
    with pytest.raises(PipelineError, match="Odd"):
        check_task_type(made)


def test_an_empty_id_is_refused() -> None:
    """It names nothing, and its folder of files was that of all tasks."""
    with pytest.raises(RecordError, match="a Rich has an empty id"):
        RICH.encode(Rich(id=""))


# -- what a reader would lose without a word --------------------------------------------------------


@attrs.define
class LongSpan(Span):
    """A nested subclass."""

    chapter: str = ""


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"span": LongSpan(start_s=1, chapter="two")}, "span holds"),
        ({"spans": [Span(start_s=0), LongSpan(start_s=1, chapter="two")]}, r"spans\[1\] holds"),
    ],
)
def test_a_nested_subclass_is_refused(fields: dict[str, Any], where: str) -> None:
    """Its further fields were lost: the row was written with them and read without."""
    with pytest.raises(RecordError, match=rf"'a' \(Rich\): {where} a LongSpan where Span is declared"):
        RICH.encode(Rich(id="a", **fields))


@attrs.define(kw_only=True)
class Page(Task):
    """Fields in which a class or odd keys are deeper down."""

    by_name: dict[str, Span] = attrs.field(factory=dict)
    pair: tuple[int, Span] | None = None
    scores: dict[int, float] = attrs.field(factory=dict)
    by_day: dict[datetime.date, list[str]] = attrs.field(factory=dict)
    colours: dict[Colour, int] = attrs.field(factory=dict)
    nested: dict[str, dict[int, list[int]]] = attrs.field(factory=dict)
    tags: set[str] = attrs.field(factory=set)
    free: dict[str, Any] = attrs.field(factory=dict)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"by_name": {"x": LongSpan(start_s=1)}}, r"by_name\['x'\]"),
        ({"pair": (1, LongSpan(start_s=1))}, r"pair\[1\]"),
        ({"free": {"x": {3: "three"}}}, r"free\['x'\] has the key 3"),
    ],
)
def test_what_would_be_lost_deeper_down_is_refused(fields: dict[str, Any], where: str) -> None:
    """By task, field and place."""
    with pytest.raises(RecordError, match=rf"'a' \(Page\): {where}"):
        codec(Page).encode(Page(id="a", **fields))


def test_keys_of_an_undeclared_dict_are_strings() -> None:
    """Nobody could say what they were."""
    with pytest.raises(RecordError, match=r"keys of a row are strings, got \{3"):
        RICH.encode(Rich(id="a", extra={"x": {3: 1}}))


real = st.floats(allow_nan=False)
words = st.text(st.characters(exclude_categories=()), max_size=5)
spans = st.builds(Span, start_s=real, end_s=real, label=words)


@given(
    st.builds(
        Page,
        id=words.filter(bool),
        by_name=st.dictionaries(words, spans, max_size=3),
        pair=st.none() | st.tuples(st.integers(-(2**62), 2**62), spans),
        scores=st.dictionaries(st.integers(-(2**62), 2**62), real, max_size=3),
        by_day=st.dictionaries(st.dates(), st.lists(words, max_size=2), max_size=2),
        colours=st.dictionaries(st.sampled_from(Colour), st.integers(0, 9)),
        nested=st.dictionaries(words, st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=2))),
        tags=st.sets(words),
        free=st.dictionaries(words, st.none() | st.booleans() | words | real, max_size=2),
    )
)
def test_any_value_of_the_declared_types_survives(page: Page) -> None:
    """Keys that are no text, classes in dicts and tuples, sets: a dict[int, …] passed the check and failed each row."""
    assert page == codec(Page).decode(codec(Page).encode(page))


def test_nan_beside_odd_keys_stays_nan() -> None:
    """Both are written by the standard library."""
    read = codec(Page).decode(codec(Page).encode(Page(id="a", scores={7: math.nan}, tags={"b", "a"})))
    assert (["7"], True) == ([str(key) for key in read.scores], math.isnan(read.scores[7]))


def test_bytes_of_a_row_never_depend_on_the_order_of_a_set() -> None:
    """Also where NaN or an odd key is beside it: a set came out in any order then."""
    tags = {f"t{n}" for n in range(50)}
    row = codec(Page).encode(Page(id="a", scores={1: math.nan}, tags=tags))
    assert sorted(tags) == json.loads(row)["tags"]


def made(kind: Any) -> type[Task]:
    """A task class with one field of this type."""
    cls = attrs.make_class("Odd", {"x": attrs.field(type=kind, default=None)}, bases=(Task,), kw_only=True)
    cls.__annotations__ = {"x": kind}
    return cls


@pytest.mark.parametrize("keys", [bool, tuple[int, int], int | str, File])
def test_the_check_refuses_keys_that_would_change(keys: Any) -> None:
    """Before anything runs, by field."""
    with pytest.raises(PipelineError, match=r"Odd\.x: keys of a dict in a row are text"):
        check_task_type(made(dict[keys, int]))


@pytest.mark.parametrize("keys", [int, float, int | None, Colour, datetime.date, bytes, Literal[1, 2]])
def test_the_check_takes_keys_that_survive(keys: Any) -> None:
    """With a sample in the dict."""
    check_task_type(made(dict[keys, int]))


@attrs.define
class Tree:
    """Holds itself."""

    children: list[Tree] = attrs.field(factory=list)
    twin: Tree | None = None


def test_a_class_may_hold_itself() -> None:
    """The check went round in circles."""
    check_task_type(made(Tree))
