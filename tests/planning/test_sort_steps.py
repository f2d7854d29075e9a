"""Sort steps: one for each upstream and key, shared where these are the same."""

from __future__ import annotations

from typing import Any

import pytest
from group_stages import Add, Labelled, Labels, Pass

from hpcurate import GroupStage, StageOptions, Step
from hpcurate.errors import ConfigError
from hpcurate.planning.build import build


class Tens(GroupStage[Labelled, Labelled]):
    """Groups of a size."""

    def __init__(self, size: int = 10) -> None:
        """Set the size.

        Args:
            size: of a group.
        """
        self.size = size

    def key(self, task: Labelled) -> str:
        """By the number."""
        return str(task.value // self.size)


class Others(Tens):
    """The same method, but it could read something else of this class."""


class Ends(Tens):
    """Another one."""

    def key(self, task: Labelled) -> str:
        """By the last digit."""
        return str(task.value % self.size)


class Parities(GroupStage[Labelled, Labelled]):
    """A key that depends on the task alone."""

    def __init__(self, of: str = "") -> None:
        """Set what the key does not depend on.

        Args:
            of: anything.
        """
        self.of = of

    @staticmethod
    def key(task: Labelled) -> str:
        """Odd or even."""
        return str(task.value % 2)


class Named(Parities):
    """The same key for sure."""


def step(stage: GroupStage[Any, Any], **sort: Any) -> Step:
    """Behind `up`."""
    return Step(stage, StageOptions(after=["up"], sort=sort))


def sorted_by(**steps: Step) -> dict[str, tuple[str, ...]]:
    """Stage → the sort steps that it reads."""
    plan = build("p", Labels(9, 3), {"up": Step(Pass(), StageOptions()), **steps})
    return {name: plan.stage(name).after for name in steps}


def test_one_field_is_sorted_once() -> None:
    """Whatever the stages are."""
    assert {"a": ("sort_up_by_label",), "b": ("sort_up_by_label",)} == sorted_by(a=step(Add()), b=step(Add("/bugs")))


def test_one_method_is_sorted_once_with_the_same_parameters() -> None:
    """Of one class: a base class's method may read what its subclasses define differently."""
    found = sorted_by(a=step(Tens()), b=step(Tens()), c=step(Tens(5)), d=step(Ends()), e=step(Others()))
    assert {
        "a": ("sort_up_for_a",), "b": ("sort_up_for_a",), "c": ("sort_up_for_c",), "d": ("sort_up_for_d",),
        "e": ("sort_up_for_e",),
    } == found  # fmt: skip


def test_a_static_method_is_sorted_once() -> None:
    """Whoever has it, with whatever parameters: it sees the task alone."""
    found = sorted_by(a=step(Parities()), b=step(Named("bugs")))
    assert {"a": ("sort_up_for_a",), "b": ("sort_up_for_a",)} == found


def test_settings_of_a_shared_step_are_those_of_whoever_has_some() -> None:
    """Those of all but the first were not read, and nobody said so."""
    steps = {"up": Step(Pass(), StageOptions()), "a": step(Add()), "b": step(Add("/bugs"), shard_tasks=7)}
    plan = build("p", Labels(9, 3), steps)
    assert plan.stage("sort_up_by_label").relation.slicing.tasks == 7  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"stages\.b\.sort: it shares the sort step of a, which has other settings"):
        sorted_by(a=step(Add(), shard_tasks=8), b=step(Add("/bugs"), shard_tasks=7))
