"""Branches that fill different fields of the same tasks come together as one task each."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from hpcurate import Task
from hpcurate.testing import Outcome, try_stage
from stages.merge import Merge


@attrs.define(kw_only=True)
class Scored(Task):
    """What several branches measure."""

    source: str
    motion: float | None = None
    caption: str | None = None
    scores: dict[str, float] = attrs.field(factory=dict)


def merge(tmp_path: Path, *tasks: Scored, **rules: bool) -> Outcome:
    """These tasks, each from a branch."""
    return try_stage(Merge(**rules), list(tasks), tmp_path / "merge")


def scored(**fields: object) -> Scored:
    """A task of one video."""
    return Scored(id="a", parents=("video",), weight=3.0, source="a.mp4", **fields)


def test_each_field_is_that_of_the_branch_that_set_it(tmp_path: Path) -> None:
    """Id, parents and weight stay; mappings are put together."""
    outcome = merge(tmp_path, scored(motion=0.5, scores={"x": 1.0}), scored(caption="a cat", scores={"y": 2.0}))
    assert [scored(motion=0.5, caption="a cat", scores={"x": 1.0, "y": 2.0})] == outcome.tasks


def test_a_field_that_two_branches_set_differently_is_a_dead_letter(tmp_path: Path) -> None:
    """All tasks of that id are, and others are not."""
    other = Scored(id="b", source="b.mp4")
    outcome = merge(tmp_path, scored(motion=0.5), scored(motion=0.6), other)
    assert [other] == outcome.tasks
    assert ["a", "a"] == [row["id"] for row in outcome.failed]
    assert "branches set motion differently: 0.5 and 0.6" in outcome.failed[0]["message"]
    assert (2, 1) == (outcome.counts.groups_in, outcome.counts.groups_failed)


def test_the_first_branch_may_win(tmp_path: Path) -> None:
    """As the order of `after` says."""
    outcome = merge(tmp_path, scored(motion=0.5, scores={"x": 1}), scored(motion=0.6, scores={"x": 2}), first_wins=True)
    assert [scored(motion=0.5, scores={"x": 1})] == outcome.tasks


@pytest.mark.parametrize("only_complete", [False, True])
def test_a_task_that_only_one_branch_has(tmp_path: Path, only_complete: bool) -> None:
    """Is merged of what there is, or dropped."""
    outcome = merge(tmp_path, scored(motion=0.5), only_complete=only_complete)
    assert ([] if only_complete else [scored(motion=0.5)]) == outcome.tasks
    assert (["not in all branches"] if only_complete else []) == [row["reason"] for row in outcome.dropped]


def test_more_tasks_of_one_id_than_branches(tmp_path: Path) -> None:
    """Are no merge: an upstream has it twice."""
    outcome = merge(tmp_path, scored(), scored(), scored())
    assert ["3 tasks have the id 'a', and there are 2 branches"] * 3 == [row["message"] for row in outcome.failed]
