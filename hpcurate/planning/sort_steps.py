"""Sort steps: which ones a pipeline with group stages has, and what reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import getattr_static
from typing import Any

import msgspec

from hpcurate.digest import digest
from hpcurate.errors import PipelineError
from hpcurate.group import GroupStage, SortRows
from hpcurate.stage import Stage, members

__all__ = ["GROUP_ROWS", "SORT_ROWS", "SortSteps", "group_stage", "with_sort_steps"]

SORT_ROWS = 250_000
"""Rows of a shard of a sort step at most: some 100 MB of metadata. What does not fit into memory is sorted on disk."""
GROUP_ROWS = 100_000
"""Rows of a hash range at most where nothing else is set, if its keys allow it."""


class SortStep(msgspec.Struct, frozen=True):
    """One of them."""

    stage: SortRows
    upstream: str
    """Whose tasks it gets: empty for the source."""
    users: tuple[str, ...]
    """The stages that read it; it was put there for the first."""


LONGEST = 38
"""Characters of a sort step's name, without the number of one whose name is taken."""


class SortSteps:
    """The sort steps of a pipeline, as it is gone through in order."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        """`names`: of the other steps."""
        self._taken = set(names)
        self._grouped: dict[str, GroupStage[Any, Any]] = {}
        self.steps: dict[str, SortStep] = {}

    def of(self, name: str, stage: GroupStage[Any, Any], upstreams: tuple[str, ...]) -> tuple[str, ...]:
        """What a group stage reads instead of these upstreams; none: the source. Those of one key are shared."""
        return tuple(self._of(name, stage, upstream) for upstream in upstreams or ("",))

    def _of(self, name: str, stage: GroupStage[Any, Any], upstream: str) -> str:
        for known, one in self.steps.items():
            if one.upstream == upstream and _have_one_key(self._grouped[known], stage):
                self.steps[known] = msgspec.structs.replace(one, users=(*one.users, name))
                return known
        own_key = _has_own_key(stage)
        step = SortRows(grouped=stage) if own_key else SortRows(by=stage.group_by)
        free = self._free(_named(upstream, f"for_{name}" if own_key else f"by_{stage.group_by}"))
        self._grouped[free], self.steps[free] = stage, SortStep(step, upstream, (name,))
        return free

    def _free(self, name: str) -> str:
        number, free = 2, name
        while free in self._taken:
            number, free = number + 1, f"{name}_{number}"
        self._taken.add(free)
        return free


def _has_own_key(stage: GroupStage[Any, Any]) -> bool:
    return type(stage).key is not GroupStage.key


def _have_one_key(one: GroupStage[Any, Any], other: GroupStage[Any, Any]) -> bool:
    """Whether they give each task the same key for sure.

    By one field; by one static method; by one method of one class with the same parameters. A method of a base class
    may read what its subclasses define differently.
    """
    if type(one).key is not type(other).key:
        return False
    if not _has_own_key(one):
        return one.group_by == other.group_by
    if isinstance(getattr_static(type(one), "key"), staticmethod):
        return True
    return type(one) is type(other) and one.arguments() == other.arguments()


def _named(upstream: str, key: str) -> str:
    """What a sort step is called: the same whichever other stages there are, so that its results stay its own."""
    name = re.sub(r"[^a-z0-9_]", "_", f"sort_{upstream or 'input'}_{key}".lower())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}_{digest({'name': name})[:8]}"


def group_stage(name: str, stage: Stage[Any, Any]) -> GroupStage[Any, Any] | None:
    """The one that gets groups, itself or the first of a chain; None of others. Raises PipelineError."""
    first, *others = members(stage)
    late = next((one for one in others if isinstance(one, GroupStage)), None)
    if late is not None:
        raise PipelineError(
            f"stages.{name}: {type(late).__qualname__} gets whole groups, and in a chain only the first stage can: "
            "make it a step of its own"
        )
    if isinstance(first, GroupStage) and first.gather:
        raise PipelineError(f"stages.{name}: {type(first).__qualname__} gets groups, so it cannot have gather = True")
    return first if isinstance(first, GroupStage) else None


def with_sort_steps(
    stages: Mapping[str, Stage[Any, Any]], after: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, tuple[str, ...]], dict[str, SortStep]]:
    """(what each stage reads, sort steps included, each before the stage that needs it first; these steps)."""
    sorts, found = SortSteps(stages), dict[str, tuple[str, ...]]()
    for name, upstreams in after.items():
        grouped = group_stage(name, stages[name])
        reads = upstreams if grouped is None else sorts.of(name, grouped, upstreams)
        for name_of_step, step in sorts.steps.items():
            found.setdefault(name_of_step, (step.upstream,) if step.upstream else ())
        found[name] = reads
    return found, sorts.steps
