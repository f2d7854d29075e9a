"""What no value of a request may be."""

from __future__ import annotations

from typing import Any

import pytest
from serving_stages import Reverse, Shout

from hpcurate.command import Command
from hpcurate.planning.options import StageOptions
from hpcurate.serving.fields import parameters_of
from hpcurate.serving.selection import Part
from hpcurate.serving.served import Field
from hpcurate.serving.service import Unfit
from hpcurate.serving.tasks import plain_values
from hpcurate.serving.values import own_of, refuse_meant
from hpcurate.stage import Stage

DEEP: Any = []
for _ in range(100):
    DEEP = [DEEP]


def part(stage: Stage[Any, Any]) -> Part:
    """It, alone in its pipeline."""
    return Part("it", "it", stage, StageOptions())


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HF_TOKEN}",
        "${oc.env:HOME,nothing}",
        "a ${oc.env:HOME}",
        "${result:a.b}",
        "${result:a",
        {"a": [{"b": "${oc.env:HOME}"}]},
        {"${oc.env:HOME}": 1},
        {"$stage": {"target": "stages.hello:Print", "parameters": {}}},
        [{"$file": {"path": "/etc/passwd"}}],
        {"$result": {"stage": "a", "field": "b", "value": 1}, "more": 1},
    ],
)
def test_a_request_refers_to_nothing(value: Any) -> None:
    """No variable of the server's environment is read, no stage or file made."""
    with pytest.raises(Unfit, match="it: a request cannot refer to anything"):
        refuse_meant({"it": value, "other": 1})


@pytest.mark.parametrize("value", ["${a}", "$stage", "{name}", "???", "${", {"_target_": "os.system"}, [None, 1.5], {}])
def test_what_is_only_what_it_is(value: Any) -> None:
    """However it looks."""
    refuse_meant({"it": value})


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("number", "NaN", "expected a number, got nan"),
        ("number", "1e999", "expected a number, got inf"),
        ("json", {"a": [float("-inf")]}, "expected a number, got -inf"),
        ("json", "[" * 100_000, "expected JSON, got"),
        ("json", DEEP, "is nested over 50 times"),
        ("json", {"\ud800": 1}, "half of a pair of surrogates"),
        ("text", "\ud800", "half of a pair of surrogates"),
        ("text", ["a"], r'expected text, got \["a"\]'),
        ("text", None, "expected text, got null"),
    ],
)
def test_what_is_no_plain_value(kind: Any, value: Any, said: str) -> None:
    """Is refused before anything is planned for it."""
    with pytest.raises(Unfit, match=f"it: .*{said}"):
        plain_values({"it": value}, [Field(key="it", kind=kind, default="x")], "parameter")


def test_a_text_may_be_a_number_and_null_where_it_is_optional() -> None:
    """As in a configuration."""
    fields = [Field(key="it", kind="text", default="x"), Field(key="other", kind="text", optional=True)]
    assert {"it": 1, "other": None} == plain_values({"it": 1, "other": None}, fields, "parameter")


def test_what_is_served_changes_nothing() -> None:
    """Also one that only whoever started the server may write; what is equal and of another type is not the same."""
    fields = [
        Field(key=key, kind="json", default=value) for key, value in (("a", "${oc.env:X}"), ("b", 1), ("c", None))
    ]
    assert {} == own_of({"a": "${oc.env:X}", "b": 1, "c": None}, fields)
    assert {"b": True, "c": 0} == own_of({"b": True, "c": 0}, fields)


def test_a_request_says_neither_which_program_runs_nor_which_stage() -> None:
    """Nor how: of a `Command` nothing can be given."""
    assert () == parameters_of([part(Command(["echo", "{id}"], variables={"A": "1"}))])
    assert ["it.sep"] == [field.key for field in parameters_of([part(Reverse())])]

    class Around(Reverse):
        def __init__(self, inner: Any = None, sep: str = "") -> None:
            """Keep them."""
            super().__init__(sep)

    assert ["it.sep"] == [field.key for field in parameters_of([part(Around([Shout()]))])]
