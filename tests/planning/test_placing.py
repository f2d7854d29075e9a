"""Where stages stand in a pipeline: as given, at named places, before or after another one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from unit_stages import Tuned, numbers

from hpcurate.errors import ConfigError
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.placing import in_order, upstreams
from hpcurate.source import Items

PLACES = ("probe", "clips", "filters", "embedding", "publish")


def options(**stages: dict[str, Any]) -> dict[str, StageOptions]:
    """Options of stages, in the order in which a configuration has them."""
    return {name: StageOptions(**given) for name, given in stages.items()}


def order(places: tuple[str, ...] = (), **stages: dict[str, Any]) -> str:
    """The stages in order, in one line."""
    return " ".join(in_order(options(**stages), places))


def refusal(places: tuple[str, ...] = (), **stages: dict[str, Any]) -> str:
    """The message with which they are refused."""
    with pytest.raises(ConfigError) as caught:
        in_order(options(**stages), places)
    return str(caught.value)


# -- places -----------------------------------------------------------------------------------------


def test_without_places_stages_stand_as_they_were_given() -> None:
    """As in every pipeline that names none."""
    assert "b a c" == order(b={}, a={}, c={})


def test_a_stage_stands_at_its_place_whenever_it_was_added() -> None:
    """A group adds its stage after all others of the file; several at one place stand as they were added."""
    file = {"probe": {}, "clips": {}, "write": {"place": "publish"}, "index": {"place": "publish"}}
    groups = {"embed": {"place": "embedding"}, "ocr": {"place": "filters"}, "aesthetic": {"place": "filters"}}
    assert "probe clips ocr aesthetic embed write index" == order(PLACES, **file, **groups)
    assert "probe clips write index" == order(PLACES, **file)


def test_a_stage_without_a_place_is_asked_where_it_stands() -> None:
    """At the end, after what writes the result, nobody wants it."""
    message = refusal(PLACES, probe={}, mine={})
    assert message.startswith("stages.mine: where does it stand? Give stages.mine.before or stages.mine.after")
    assert message.endswith("one of probe, clips, filters, embedding, publish")


def test_a_branch_needs_no_place() -> None:
    """It names what it reads, and no stage reads it unasked: it was asked where it stands, although it said `after`."""
    file = {"mine": {"after": ["clips"]}, "probe": {}, "clips": {}, "write": {"place": "publish"}}
    assert "probe clips write mine more" == order(PLACES, **file, more={"after": "mine"})


def test_places_that_are_not_there_are_refused() -> None:
    """With the nearest, or with what else says where a stage stands."""
    assert "stages.a.place=filter: there is no such place; did you mean 'filters'?" == refusal(
        PLACES, a={"place": "filter"}
    )
    assert "stages.a.place=filters: this pipeline has no places; give stages.a.before or stages.a.after" in refusal(
        a={"place": "filters"}
    )
    assert "places: 'x' is there twice" == refusal(("x", "x"), x={})


# -- before and after -------------------------------------------------------------------------------


def test_before_and_after_put_a_stage_next_to_another() -> None:
    """Several at one stage stand as they were given; what was put somewhere may be named, too, in any order."""
    line = {"a": {}, "b": {}, "c": {}}
    assert "a b x c" == order(**line, x={"before": "c"})
    assert "a x b c" == order(**line, x={"after": "a"})
    assert "a b x y c" == order(**line, x={"before": "c"}, y={"before": "c"})
    assert "a x y b c" == order(**line, x={"after": "a"}, y={"after": "a"})
    assert "a y x b c" == order(**line, x={"after": "y"}, y={"after": "a"})
    assert "x a b c" == order(**line, x={"before": "a"})
    assert "a b c x" == order(**line, x={"after": "c"})


def test_they_outrank_a_place() -> None:
    """A group's stage can be moved on the command line."""
    stages = {"probe": {}, "clips": {}, "ocr": {"place": "filters", "after": "probe"}}
    assert "probe ocr clips" == order(PLACES, **stages)


def test_each_stage_stands_once_whoever_names_whom() -> None:
    """Every way in which three stages refer to each other ends in an order, or in a refusal that names a stage."""
    given: list[dict[str, Any]] = [{}, {"before": "a"}, {"after": "b"}, {"after": "c"}, {"before": "c"}]
    for a, b, c in itertools.product(given, repeat=3):
        stages = {"a": a, "b": b, "c": c}
        anchors = {name: {one.get("before"), one.get("after")} - {None} for name, one in stages.items()}
        if any(_reaches(anchors, name, name) for name in stages):
            assert "stand before or after each other" in refusal(**stages)
        else:
            assert ["a", "b", "c"] == sorted(in_order(options(**stages)))


def _reaches(anchors: dict[str, set[str]], start: str, end: str) -> bool:
    """Whether following anchors from one stage leads to another; there is one at most for each."""
    seen: set[str] = set()
    waiting = set(anchors[start])
    while waiting - seen:
        seen |= waiting
        waiting = set().union(*(anchors[name] for name in waiting))
    return end in seen


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({"x": {"before": "aa"}, "a": {}}, "stages.x.before: there is no stage 'aa'; did you mean 'a'?"),
        ({"x": {"after": "z"}, "a": {}}, "stages.x.after: there is no stage 'z'"),
        ({"a": {}, "x": {"before": "a", "after": "a"}}, "stages.x: before=a and after=a: give one of them"),
        ({"x": {"before": "x"}}, "stages.x: the stages x stand before or after each other"),
        (
            {"a": {}, "b": {"after": ["a"]}, "x": {"before": "b"}},
            "stages.x.before=b: b names what it reads itself; put x into stages.b.after",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(stages: dict[str, dict[str, Any]], message: str) -> None:
    """And with what to write instead."""
    assert refusal(**stages).startswith(message)


# -- what a stage reads -----------------------------------------------------------------------------


def test_a_stage_reads_the_one_before_it_or_those_that_it_lists() -> None:
    """A list is about what is read, a name about where the stage stands."""
    line = ["a", "x", "b"]
    assert () == upstreams("a", line, StageOptions())
    assert ("x",) == upstreams("b", line, StageOptions())
    assert ("a",) == upstreams("x", line, StageOptions(after="a"))
    assert ("a", "x") == upstreams("b", line, StageOptions(after=["a", "x", "a"]))


def test_a_pipeline_is_built_in_this_order() -> None:
    """The stage that was put between is read by the one that it was put before."""
    steps = {name: Step(Tuned(), one) for name, one in options(a={}, b={}, x={"before": "b"}).items()}
    built = build("test", Items(numbers(1)), steps)
    assert [("a", ()), ("x", ("a",)), ("b", ("x",))] == [(stage.name, stage.after) for stage in built.stages]
