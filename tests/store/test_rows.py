"""Rows: what goes in comes out, or is refused by name."""

from __future__ import annotations

import math
import pathlib
from typing import Any

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
    assert Rich(id=text, text=text, score=score, scores=scores) == RICH.decode(
        RICH.encode(Rich(id=text, text=text, score=score, scores=scores))
    )


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
