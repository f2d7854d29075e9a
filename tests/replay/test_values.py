"""Two plain values, compared field by field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpcurate.errors import ConfigError
from hpcurate.golden.outcomes import Comparison, Kept, compare, lines_of, unknown_fields
from hpcurate.golden.rules import Rules, read_rules
from hpcurate.golden.values import Difference, KeptFile, differences


def found(before: Any, after: Any, *tolerances: str, ignored: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """(field, before, after) of each difference."""
    rules = read_rules(tolerances, ignored)
    return [(one.field, one.before, one.after) for one in differences(before, after, rules, lambda *files: "other")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 1.0),
        (math.nan, math.nan),
        (math.inf, math.inf),
        ([math.nan, 1], [math.nan, 1.0]),
        ({"a": 1, "b": [{"c": None}]}, {"b": [{"c": None}], "a": 1}),
        ([], []),
        ("\udcff", "\udcff"),
    ],
)
def test_these_are_the_same(before: Any, after: Any) -> None:
    """Numbers by value, NaN as itself, mappings in any order."""
    assert [] == found(before, after)


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ({"a": 1}, {"a": 2}, ("a", "1", "2")),
        ({"a": True}, {"a": 1}, ("a", "true", "1")),
        ({"a": 1}, {"a": "1"}, ("a", "1", '"1"')),
        ({"a": None}, {"a": 0}, ("a", "null", "0")),
        ({"a": None}, {}, ("a", "null", "(no such field)")),
        ({}, {"a": None}, ("a", "(no such field)", "null")),
        ({"a": [1, 2]}, {"a": [1]}, ("a", "[1, 2]", "[1]")),
        ({"a": [1, "x"]}, {"a": [1, "y"]}, ("a[1]", '"x"', '"y"')),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}, ("a.b[0].c", "1", "2")),
        ({"a": math.nan}, {"a": 1.0}, ("a", "NaN", "1.0")),
        ({"a": math.inf}, {"a": -math.inf}, ("a", "Infinity", "-Infinity")),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, ("a", "0.30000000000000004", "0.3")),
        ({"a": "\udcff"}, {"a": "\n"}, ("a", '"\\udcff"', '"\\n"')),
        ([1], {"a": 1}, ("", "[1]", '{"a": 1}')),
        ({"a": KeptFile("/x/a.txt")}, {"a": "a.txt"}, ("a", "a.txt", '"a.txt"')),
    ],
)
def test_these_differ(before: Any, after: Any, difference: tuple[str, str, str]) -> None:
    """With the field, and both values with all their digits."""
    assert [difference] == found(before, after)


def test_of_a_vector_the_largest_difference_is_named() -> None:
    """512 lines about one embedding help nobody."""
    one = differences({"v": [0.0, 0.0, 0.0]}, {"v": [0.1, -0.3, 0.0]}, Rules(), lambda *files: "")
    assert [Difference("v[1]", "0.0", "-0.3", "the largest of 2 that differ, of 3")] == one
    assert [("v[0]", "1.0", "NaN")] == found({"v": [1.0, 1.0]}, {"v": [math.nan, 9.0]})


@pytest.mark.parametrize(
    ("tolerance", "same"),
    [
        ("score=1e-3", True),
        ("score=0.1%", True),
        ("score=1e-9+0.1%", True),
        ("*=1", True),
        ("sc*=1e-3", True),
        ("score=1e-9", False),
        ("score=0.00001%", False),
        ("other=1", False),
    ],
)
def test_a_tolerance_is_absolute_relative_or_both(tolerance: str, same: bool) -> None:
    """Of one field, by name or pattern."""
    assert same == (not found({"score": 10.0}, {"score": 10.0009}, tolerance))


def test_a_tolerance_holds_for_what_is_in_a_field_and_the_last_one_wins() -> None:
    """Also with indices, or without."""
    before, after = {"a": {"b": [1.0, {"c": 1.0}]}}, {"a": {"b": [1.1, {"c": 1.1}]}}
    for tolerance in ("a=0.2", "a.b=0.2", "a.*=0.2"):
        assert [] == found(before, after, tolerance)
    assert [("a.b[1].c", "1.0", "1.1")] == found(before, after, "a=0.2", "a.b.c=0.01")
    assert [("a.b[1].c", "1.0", "1.1")] == found(before, after, "a.b[0]=0.2")


def test_no_tolerance_makes_text_infinity_or_nan_the_same() -> None:
    """It is for numbers."""
    assert [("a", '"1"', '"2"')] == found({"a": "1"}, {"a": "2"}, "*=9")
    assert [("a", "Infinity", "1.0")] == found({"a": math.inf}, {"a": 1.0}, "*=100%")
    assert [("a", "1.0", "NaN")] == found({"a": 1.0}, {"a": math.nan}, "*=9")


def test_an_ignored_field_is_not_compared() -> None:
    """Whether it is there or not."""
    assert [] == found({"a": 1, "b": {"c": 1}}, {"b": {"c": 2}}, ignored=("a", "b.c"))


@pytest.mark.parametrize(
    "text", ["score", "score=", "=1", "score=x", "score=-1", "score=1e", "score=1%%", "score=1+", "score=nan"]
)
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    """With the forms there are."""
    with pytest.raises(ConfigError, match="expected FIELD=NUMBER"):
        read_rules([text])


# -- tasks ----------------------------------------------------------------------------------------------


def compared(before: Kept, after: Kept) -> Comparison:
    """Exactly."""
    return compare(before, after, Rules(), lambda *files: "")


def test_tasks_are_compared_by_id() -> None:
    """In any order; what is gone or new is named as such."""
    before = Kept([{"id": "a", "n": 1}, {"id": "b", "n": 1}, {"id": "c"}])
    found = compared(before, Kept([{"id": "d"}, {"id": "b", "n": 2}, {"id": "a", "n": 1}]))
    assert {"same": 1, "changed": 1, "missing": 1, "additional": 1} == found.counts()
    assert [("b", "changed"), ("c", "missing"), ("d", "additional")] == [(one.id, one.kind) for one in found.changes]


def test_several_tasks_with_one_id_are_compared_in_order() -> None:
    """None hides behind another."""
    twice = [{"id": "a", "n": 1}, {"id": "a", "n": 2}]
    assert compared(Kept(twice), Kept(twice)).is_same
    assert {"same": 1, "changed": 0, "missing": 1, "additional": 0} == compared(Kept(twice), Kept(twice[:1])).counts()


def test_a_task_that_ends_otherwise_is_changed() -> None:
    """Passed on, dropped or failed, with the reason."""
    row = {"id": "a", "source": "a.txt"}
    dropped = {"id": "a", "stage": "s", "reason": "too dark", "input": True, "task": row}
    failed = {"id": "a", "stage": "s", "error": "ValueError", "message": "no", "traceback": "1", "tries": 1}
    assert compared(Kept([], [dropped]), Kept([], [{**dropped, "input": False}])).is_same
    assert compared(Kept([], [], [failed]), Kept([], [], [{**failed, "traceback": "2", "tries": 3}])).is_same
    lines = lines_of(compared(Kept([row]), Kept([], [dropped])))
    assert ["changed: a  a.txt", "    (ended as): passed on → dropped: too dark"] == lines[1:]
    lines = lines_of(compared(Kept([], [dropped]), Kept([], [], [failed])))
    assert "    (ended as): dropped: too dark → failed: ValueError: no" == lines[-1]
    other = {**dropped, "reason": "too short", "task": {**row, "n": 1}}
    fields = [one.field for one in compared(Kept([], [dropped]), Kept([], [other])).changes[0].differences]
    assert ["reason", "task.n"] == fields


def test_lines_are_few_and_no_name_breaks_them() -> None:
    """The rest is counted."""
    rows = [{"id": f"{n}\n", "source": "\x1b[31m\udcff", **{f"f{k}": n for k in range(9)}} for n in range(30)]
    lines = lines_of(compared(Kept(rows), Kept([{**row, **{f"f{k}": -1 for k in range(9)}} for row in rows])))
    assert "0 same, 30 changed, 0 missing, 0 additional" == lines[0]
    assert "changed: 0\\n  \\x1b[31m\\udcff" == lines[1]
    assert ["    and 4 more fields", "and 20 more tasks"] == lines[-2:]


@pytest.mark.parametrize(
    "name", ["score", "boxes.x", "boxes[3].x", "b*", "*", "found", "found.path", "reason", "saved"]
)
def test_names_of_fields_that_there_are(name: str) -> None:
    """Those of dropped tasks, too, and whatever may be in a file."""
    assert [] == unknown_fields(read_rules([f"{name}=1"], [name]), ROWS)


@pytest.mark.parametrize("name", ["scor", "skore", "boxes.z", "score.x", "traceback"])
def test_a_name_that_no_field_has_is_named(name: str) -> None:
    """It would be taken without a word, and change nothing."""
    (line,) = unknown_fields(read_rules([f"{name}=1"], [name]), Kept(), ROWS)
    assert f"{name!r}: no task has a field of that name, so it changes nothing; there are boxes, found, id, " in line


ROWS = Kept(
    [{"id": "a", "score": 1, "boxes": [{"x": 1}], "found": KeptFile("f.json"), "saved": {"nb": {}}}],
    [{"id": "b", "reason": "dull", "task": {"id": "b"}, "traceback": "…"}],
)
