"""Which component asks for a field, and what its value is in a request."""

from __future__ import annotations

from typing import Any

import pytest

from hpcurate.serving.page_fields import LEFT_OUT, NONE, SETS_UP, Unreadable, asked, changed, groups, value_of
from hpcurate.serving.served import Field, Served


def field(kind: Any, **more: Any) -> Field:
    """One of this kind."""
    return Field(key="blur.level", kind=kind, help="How much.", **more)


@pytest.mark.parametrize(
    ("given", "value", "component", "shown"),
    [
        (field("text"), "a", "Textbox", {"value": "a", "lines": 1, "max_lines": 1}),
        (field("text"), None, "Textbox", {"value": ""}),
        (field("long_text"), "a\nb", "Textbox", {"value": "a\nb", "lines": 4}),
        (field("integer"), 3, "Number", {"value": 3, "precision": 0}),
        (field("number"), 0.5, "Number", {"value": 0.5}),
        (field("number"), None, "Number", {"value": None}),
        (field("boolean"), True, "Checkbox", {"value": True}),
        (field("boolean"), None, "Checkbox", {"value": False}),
        (field("boolean", optional=True), None, "Dropdown", {"value": NONE, "choices": ["true", "false", NONE]}),
        (field("choice", choices=("a", 1)), 1, "Dropdown", {"value": "1", "choices": ["a", "1", NONE]}),
        (field("choice", choices=("a", "b"), required=True), None, "Dropdown", {"value": None, "choices": ["a", "b"]}),
        (field("json"), {"a": [1]}, "Code", {"value": '{\n  "a": [\n    1\n  ]\n}', "language": "json"}),
        (field("json"), None, "Code", {"value": ""}),
        (field("file", suffixes=(".mp4", ".mkv")), None, "File", {"file_types": [".mp4", ".mkv"]}),
        (field("file"), None, "File", {"file_types": None}),
    ],
)
def test_each_kind_has_its_component(given: Field, value: Any, component: str, shown: dict[str, Any]) -> None:
    """With what is shown first, and its help in or above it."""
    what = asked(given, value)
    assert component == what.component
    assert shown == {key: what.arguments[key] for key in shown}
    assert "How much." == (what.note or what.arguments["info"])


def test_labels_are_short_and_say_what_is_required() -> None:
    """The accordion around a parameter has the name of its stage."""
    assert "level" == asked(field("text"), None).arguments["label"]
    assert "path *" == asked(Field(key="path", kind="file", required=True), None).arguments["label"]


def test_a_parameter_that_is_not_quick_says_so() -> None:
    """In its help, also where it has no other."""
    assert f"How much. {SETS_UP}" == asked(field("text", quick=False), None).arguments["info"]
    assert SETS_UP == asked(Field(key="a.b", kind="json", quick=False), None).note


@pytest.mark.parametrize(
    ("given", "raw", "value"),
    [
        (field("text"), "a", "a"),
        (field("text"), "", ""),
        (field("text", optional=True), "", None),
        (field("text", required=True), "", LEFT_OUT),
        (field("long_text"), None, LEFT_OUT),
        (field("integer"), 3, 3),
        (field("integer"), 3.5, 3.5),
        (field("integer"), None, LEFT_OUT),
        (field("number", optional=True), None, None),
        (field("number"), "nonsense", "nonsense"),
        (field("boolean"), False, False),
        (field("boolean", optional=True), "false", False),
        (field("boolean", optional=True), NONE, None),
        (field("choice", choices=(1, "1x")), "1", 1),
        (field("choice", choices=("a",)), NONE, LEFT_OUT),
        (field("choice", choices=("a", None), optional=True), NONE, None),
        (field("choice", choices=("a",)), "of nobody", "of nobody"),
        (field("choice", choices=("a",), required=True), None, LEFT_OUT),
        (field("json"), ' {"a": 1} ', {"a": 1}),
        (field("json"), "null", None),
        (field("json"), " \n", LEFT_OUT),
        (field("json"), None, LEFT_OUT),
    ],
)
def test_what_is_typed_is_read(given: Field, raw: Any, value: Any) -> None:
    """As the request says it; whether it is right is for the service, so wrong values pass."""
    assert value is value_of(given, raw) or (value, type(value)) == (value_of(given, raw), type(value_of(given, raw)))


@pytest.mark.parametrize("raw", ["{", "NaN", "[" * 100_000, 3, "{'a': 1}"])
def test_what_is_no_json_is_said(raw: Any) -> None:
    """Before anybody is asked."""
    with pytest.raises(Unreadable, match="JSON"):
        value_of(field("json"), raw)


def test_parameters_of_the_named_stage_stand_in_front() -> None:
    """It is the last; the others are closed, in their order."""
    parameters = tuple(Field(key=key, kind="text") for key in ("c.d.x", "a.y", "b.z", "a.w"))
    served = Served(title="c", stages=("a", "b", "c.d"), inputs=(), parameters=parameters)
    assert [("c.d", True, 1), ("a", False, 2), ("b", False, 1)] == [
        (group.title, group.open, len(group.fields)) for group in groups(served)
    ]
    assert [False] == [
        g.open for g in groups(Served(title="", stages=("a", "d"), inputs=(), parameters=parameters[1:2]))
    ]
    assert () == groups(Served(title="", stages=("a",), inputs=(), parameters=()))


def test_only_changed_parameters_are_sent() -> None:
    """By value and type: True is not 1; a list is a tuple."""
    fields = [Field(key=key, kind="json", default=value) for key, value in {"a": 1, "b": (1, 2), "c": None}.items()]
    assert {} == changed(fields, {"a": 1, "b": [1, 2], "c": None})
    assert {"a": True, "c": ""} == changed(fields, {"a": True, "c": ""})
