"""Fields of several tasks become one batch, and the results of a batch one result per task; nothing is mixed up."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate.errors import StageError
from hpcurate.inference.collate import collate, named, split

IDS = ["a", "b", "c"]


def batch_of(values: list[Any], mode: str, fill: float = 0) -> dict[str, Any]:
    """One field x of so many tasks."""
    ids = [f"t{n}" for n in range(len(values))]
    return collate(ids, [{"x": value} for value in values], {"x": mode}, {"x": fill} if fill else {})


def refusal_of(values: list[Any], mode: str) -> str:
    """What is said of values that cannot be one batch."""
    with pytest.raises(StageError) as caught:
        batch_of(values, mode)
    return str(caught.value)


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
dtypes = st.sampled_from(["uint8", "int64", "float32", "float64", "bool"])


def numbered(shape: tuple[int, ...], dtype: str, begin: int) -> Any:
    """An array that differs from others."""
    return (numpy.arange(begin, begin + int(numpy.prod(shape))).reshape(shape) % 251).astype(dtype)


@given(shapes, dtypes, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_what_was_stacked_is_split_into_what_it_was(shape: tuple[int, ...], dtype: str, count: int) -> None:
    """Any shape, also with empty axes and none, any type."""
    values = [numbered(shape, dtype, 7 * n) for n in range(count)]
    parts = split(batch_of(values, "stack")["x"], ["t"] * count)
    assert [value.tolist() for value in values] == [part.tolist() for part in parts]
    assert {numpy.dtype(dtype)} == {part.dtype for part in parts}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), shapes, dtypes, st.sampled_from([0, 1, 7]))
@settings(max_examples=60, deadline=None)
def test_what_was_padded_is_split_into_what_it_was(
    lengths: list[int], rest: tuple[int, ...], dtype: str, fill: float
) -> None:
    """The mask says which values were a task's own; all others are the fill value."""
    values = [numbered((length, *rest), dtype, 7 * n) for n, length in enumerate(lengths)]
    parts = split(batch_of(values, "pad", fill), ["t"] * len(values))
    assert [value.tolist() for value in values] == [part["x"][part["x_mask"]].tolist() for part in parts]
    assert lengths == [int(part["x_mask"].sum()) for part in parts]
    assert all((part["x"][~part["x_mask"]] == numpy.asarray(fill).astype(dtype)).all() for part in parts)
    assert all(not part["x_mask"][length:].any() for part, length in zip(parts, lengths))


def test_a_list_is_what_it_was() -> None:
    """Whatever is in it."""
    values = [None, 3, "text", [1, [2]], {"y": 1}]
    assert values == split(batch_of(values, "list")["x"], ["t"] * len(values))


def test_a_field_of_which_nothing_is_said_is_a_list() -> None:
    """No shape is guessed: a batch of one would look different from others."""
    assert {"x": [1, 2]} == collate(["a", "b"], [{"x": 1}, {"x": 2}], {}, {})


def test_a_field_that_is_left_out_is_not_in_the_batch() -> None:
    """It can be of any kind."""
    assert {"y": [3]} == collate(["a"], [{"x": object(), "y": 3}], {"x": "none"}, {})


def test_numbers_are_stacked() -> None:
    """As arrays without an axis are."""
    assert [1.5, 2.5] == batch_of([1.5, 2.5], "stack")["x"].tolist()


@pytest.mark.parametrize(
    ("values", "mode", "said"),
    [
        ([numpy.zeros(2), numpy.zeros(3)], "stack", "x is an array of float64 (2,) for task 't0' and an array of"),
        ([numpy.zeros(2), numpy.zeros(3)], "stack", "use 'pad' if only their first axis differs, or 'list'"),
        ([numpy.zeros(2), numpy.zeros(2, "float32")], "stack", "an array of float32 (2,) for task 't1'"),
        ([numpy.zeros((2, 3)), numpy.zeros((2, 4))], "pad", "(2, 4) for task 't1'"),
        ([numpy.zeros(2), numpy.zeros((2, 1))], "pad", "(2, 1) for task 't1'"),
        ([3, 4], "pad", "x of task 't0' is a single value, which has no length to pad; use 'stack'"),
        (["text"], "stack", "x of task 't0' is a str: no array of numbers; use 'list'"),
        ([[[1], [1, 2]]], "stack", "x of task 't0' is a list: no array of numbers; use 'list'"),
        ([None], "pad", "x of task 't0' is a NoneType"),
    ],
)
def test_values_that_do_not_fit_are_named(values: list[Any], mode: str, said: str) -> None:
    """Field, tasks, shapes and what else could be said; an array of another type is never converted silently."""
    assert said in refusal_of(values, mode)


def test_tasks_with_different_fields_are_named() -> None:
    """The first two that differ."""
    with pytest.raises(StageError, match="load\\(\\) returned x for task 'a' and x, y for task 'c'"):
        collate(IDS, [{"x": 1}, {"x": 1}, {"x": 1, "y": 2}], {}, {})


def test_a_field_that_nobody_loads_is_named() -> None:
    """With what may have been meant."""
    with pytest.raises(StageError, match=r"collate\['pixles'\]: load\(\) returns no such field; did you mean 'pixels'"):
        collate(["a"], [{"pixels": 1}], {"pixles": "stack"}, {})


def test_a_mask_overwrites_no_field() -> None:
    """A field of that name is refused."""
    with pytest.raises(StageError, match="makes x_mask, and load\\(\\) returns one, too"):
        collate(["a"], [{"x": [1], "x_mask": [True]}], {"x": "pad"}, {})


ROWS = numpy.arange(6).reshape(3, 2)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (ROWS, [[0, 1], [2, 3], [4, 5]]),
        (["p", None, "r"], ["p", None, "r"]),
        ((ROWS[:, 0], ["p", "q", "r"]), [(0, "p"), (2, "q"), (4, "r")]),
        ({"s": ROWS[:, 1], "t": list("pqr")}, [{"s": 1, "t": "p"}, {"s": 3, "t": "q"}, {"s": 5, "t": "r"}]),
        ({"s": (ROWS[:, 1], ROWS[:, 0])}, [{"s": (1, 0)}, {"s": (3, 2)}, {"s": (5, 4)}]),
        ({}, [{}, {}, {}]),
        ((), [(), (), ()]),
    ],
)
def test_a_result_of_any_form_is_split(result: Any, expected: list[Any]) -> None:
    """Arrays by their first axis, lists as they are, tuples and dicts side by side, also within each other."""
    assert expected == [part.tolist() if hasattr(part, "tolist") else part for part in split(result, IDS)]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ROWS[:2], "what inference() returned has 2 results for 3 tasks ('a', 'b', 'c'); expected one per task"),
        (list("pqrs"), "has 4 results for 3 tasks ('a', 'b', 'c')"),
        ([], "has 0 results for 3 tasks"),
        ((ROWS, ROWS[:1]), "what inference() returned, [1], has 1 results"),
        ({"s": ROWS, "t": {"u": [1]}}, "what inference() returned, ['t']['u'], has 1 results"),
        (numpy.float64(3), "is a single value for 3 tasks ('a', 'b', 'c')"),
        ({"loss": numpy.asarray(1.0)}, "returned, ['loss'], is a single value"),
        (None, "is a NoneType for 3 tasks"),
        (3.5, "is a float for 3 tasks"),
        ("pqr", "is a str for 3 tasks"),
        (iter("pqr"), "return an array, a tensor or a list with one result per task"),
    ],
)
def test_a_result_of_the_wrong_length_names_the_tasks(result: Any, said: str) -> None:
    """What was expected, what came, where in the result, and the tasks."""
    with pytest.raises(StageError) as caught:
        split(result, IDS)
    assert said in str(caught.value)


def test_of_many_tasks_the_first_are_named() -> None:
    """And how many they are."""
    assert "1 task ('a')" == named(["a"])
    assert "4 tasks ('a', 'b', 'c', …)" == named(list("abcd"))
