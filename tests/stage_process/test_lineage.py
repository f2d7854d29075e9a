"""Lineage: what each input became, and the contradictions that are refused."""

from __future__ import annotations

import pytest
from unit_stages import Number, numbers

from hpcurate.errors import StageError
from hpcurate.stage_process.lineage import NOT_RETURNED, Drop, Lineage, Origin


def child(name: str, *parents: str) -> Number:
    """A new task made from others."""
    return Number(id=name, parents=parents, value=0)


def test_an_input_descends_from_itself() -> None:
    """Before any stage ran, everything is alive."""
    assert {"n1", "n2"} == Lineage.of(["n1", "n2"]).survivors()


def test_a_returned_child_keeps_its_parent_alive() -> None:
    """The input counts as passed on."""
    lineage = Lineage.of(["n1"])
    lineage.step("cut", numbers(1), [child("c", "n1")], [])
    assert {"n1", "c"} == lineage.survivors()


def test_a_child_of_several_keeps_all_of_them_alive() -> None:
    """Merging two tasks drops neither."""
    lineage = Lineage.of(["n1", "n2"])
    lineage.step("merge", numbers(1, 2), [child("c", "n1", "n2")], [])
    assert ({"n1", "n2", "c"}, []) == (lineage.survivors(), lineage.drops)


def test_what_is_not_returned_counts_as_dropped() -> None:
    """Silence is a drop with a reason of its own."""
    lineage = Lineage.of(["n1", "n2"])
    lineage.step("filter", numbers(1, 2), numbers(1), [])
    assert [("n2", NOT_RETURNED, "filter")] == [(d.task.id, d.reason, d.stage) for d in lineage.drops]


def test_dropping_twice_is_one_drop() -> None:
    """The first reason stands."""
    lineage = Lineage.of(["n1"])
    [task] = numbers(1)
    lineage.step("filter", [task], [], [Drop(task, "dark", "filter"), Drop(task, "short", "filter")])
    assert ["dark"] == [d.reason for d in lineage.drops]


def test_an_ancestor_may_be_dropped_after_its_child_left() -> None:
    """Task and child came in side by side; dropping the one says nothing of the other."""
    [task], clip = numbers(1), child("c", "n1")
    lineage = Lineage.of([task.id])
    lineage.step("cut", [task], [task, clip], [])
    lineage.step("filter", [task, clip], [clip], [Drop(task, "long", "filter")])
    assert {"n1", "c"} == lineage.survivors()


def test_survivors_reach_through_a_chain() -> None:
    """Grandchild alive, grandparent alive."""
    lineage = Lineage.of(["n1", "n2"])
    first = [child("c1", "n1"), child("c2", "n2")]
    lineage.step("a", numbers(1, 2), first, [])
    lineage.step("b", first, [child("g", "c1")], [])
    assert {"n1", "c1", "g"} == lineage.survivors()


def test_children_one_for_one_are_no_more_work_than_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """An origin was made of each task, and joined from those of its parents, in each member of a chain."""
    monkeypatch.setattr(Origin, "joined", None)
    lineage, first = Lineage.of(["n1", "n2"]), [child("c1", "n1"), child("c2", "n2")]
    lineage.step("a", numbers(1, 2), first, [])
    lineage.step("b", first, [child("g1", "c1"), child("g2", "c2")], [])
    assert {"n1", "n2", "c1", "c2", "g1", "g2"} == lineage.survivors()
    assert [0, 1] == list(lineage.passed())


def test_what_is_dropped_after_children_one_for_one_is_its_inputs_end() -> None:
    """The short way is left again where it does not lead on."""
    lineage, first = Lineage.of(["n1", "n2"]), [child("c1", "n1"), child("c2", "n2")]
    lineage.step("a", numbers(1, 2), first, [])
    lineage.step("b", first, first[:1], [Drop(first[1], "dark", "b")])
    assert ({"n1", "c1"}, {0}) == (lineage.survivors(), set(lineage.passed()))
    assert [(frozenset((1,)), frozenset(("n2", "c2")))] == [(d.origin.inputs, d.origin.ids) for d in lineage.drops]


@pytest.mark.parametrize(
    ("given", "returned", "passed"),
    [
        (["n1", "n1"], [child("c1", "n1"), child("c2", "n1")], [0, 1]),
        (["n1", "n2"], [child("c1", "n2"), child("c2", "n1")], [0, 1]),
        (["n1", "n2"], [child("n2", "n1"), child("c2", "n2")], [1]),
        (["n1", "n2"], [child("c1", "n1", "n2"), child("c2", "n2")], [0, 1]),
    ],
    ids=["one id twice", "another order", "the id of another", "two parents"],
)
def test_what_is_not_one_for_one_goes_the_long_way(given: list[str], returned: list[Number], passed: list[int]) -> None:
    """And comes to where its ids and parents say."""
    lineage = Lineage.of(given)
    lineage.step("a", [Number(id=one, value=0) for one in given], returned, [])
    assert lineage.origins is not None
    assert passed == sorted(lineage.passed())


@pytest.mark.parametrize(
    ("returned", "dropped", "said"),
    [
        ([child("x")], [], "is no input and names no input as its parent"),
        ([child("x", "n9")], [], "is no input and names no input as its parent"),
        ([child("x", "n1"), child("x", "n1")], [], "two tasks with id 'x'"),
        (numbers(1), numbers(1), "both dropped and returned task 'n1'"),
        ([child("x", "n1")], numbers(1), "both dropped and returned task 'n1', or a child of it"),
    ],
)
def test_a_contradiction_is_refused(returned: list[Number], dropped: list[Number], said: str) -> None:
    """Each names the stage and the task."""
    with pytest.raises(StageError, match=f"^odd .*{said}"):
        Lineage.of(["n1"]).step("odd", numbers(1), returned, [Drop(task, "no", "odd") for task in dropped])
