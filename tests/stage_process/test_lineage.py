"""Lineage: what each input became, and the contradictions that are refused."""

from __future__ import annotations

import pytest
from unit_stages import Number, numbers

from hpcurate.errors import StageError
from hpcurate.stage_process.lineage import NOT_RETURNED, Drop, Lineage


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
