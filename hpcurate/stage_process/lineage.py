"""Which inputs each task of a batch came from, and where each input ended (invariant I6). Pure.

Inputs are known by their ordinal in the batch, never by their id: with several upstreams two of them may have one id.
A returned id stands for all inputs that have it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Optional, Protocol, Union

import msgspec

from hpcurate.errors import StageError
from hpcurate.store.stats import NOT_RETURNED
from hpcurate.task import Task


class Origin(msgspec.Struct):
    """What a task descends from within the batch."""

    inputs: frozenset[int] = frozenset()
    """Ordinals of inputs."""
    ids: frozenset[str] = frozenset()
    """Ids on the way, its own included."""

    @classmethod
    def joined(cls, origins: Sequence[Origin], *ids: str) -> Origin:
        """Of a task that descends from several."""
        if len(origins) == 1:
            [only] = origins
            return only if only.ids.issuperset(ids) else cls(only.inputs, only.ids.union(ids))
        return cls(
            frozenset().union(*(origin.inputs for origin in origins)),
            frozenset(ids).union(*(origin.ids for origin in origins)),
        )


class Drop(msgspec.Struct, frozen=True):
    """A task that ended, on purpose or without a word."""

    task: Task
    reason: str
    stage: str
    origin: Origin = msgspec.field(default_factory=Origin)
    value: Union[float, str, None] = None
    """What was measured,"""
    threshold: Union[float, str, None] = None
    """what it had to meet,"""
    measure: str = ""
    """and the field of tasks that has such values."""
    brief: bool = False
    """Whether it is enough to name an input."""


class Omission(msgspec.Struct, frozen=True):
    """What a stage left out of a task that goes on."""

    task: Task
    reason: str
    stage: str
    count: int
    amounts: Mapping[str, float]


class Lineage(msgspec.Struct):
    """Where every task that is alive in one batch came from."""

    ids: list[str]
    """Of the tasks that the next stage is given, in order: a stage may change a task."""
    origins: Optional[list[Origin]] = None
    """Of the same tasks; None while they are the inputs themselves, as in most stages from beginning to end, or one
    for one what was made of them."""
    unique: set[str] = msgspec.field(default_factory=set)
    """Those ids again, of what the last stage has returned."""
    before: list[list[str]] = msgspec.field(default_factory=list)
    """While there are no `origins`: ids on the way from each input to its task, in order."""
    drops: list[Drop] = msgspec.field(default_factory=list)
    omissions: list[Omission] = msgspec.field(default_factory=list)

    @classmethod
    def of(cls, ids: list[str]) -> Lineage:
        """Every input descends from itself. Raises StageError for one without an id."""
        if "" in ids:
            raise StageError("a task has an empty id; ids name tasks and their files, so they have a character or more")
        return cls(ids)

    def step(
        self,
        stage: str,
        given: Sequence[Task],
        returned: Sequence[Task],
        drops: Sequence[Drop],
        omissions: Sequence[Omission] = (),
    ) -> None:
        """Record what one stage made of `given`. What it left out of a task that ends here is lost with that.

        Raises StageError for a task out of nowhere, a duplicate id, or one that was dropped and yet passed on.
        """
        ids = [task.id for task in returned]
        self.unique = set(ids)
        if not drops and len(ids) == len(self.ids) == len(self.unique) and self._one_for_one(ids, returned):
            self.omissions += omissions
            return
        known = self._known()
        after: dict[str, Origin] = {}
        used: set[str] = set()
        for task in returned:
            if task.id in after:
                raise StageError(f"{stage} returned two tasks with id {task.id!r}")
            parents = [task.id] if task.id in known else [p for p in dict.fromkeys(task.parents) if p in known]
            if not parents and known:
                raise StageError(_out_of_nowhere(stage, task))
            used.update(parents)
            after[task.id] = known.joined(parents, task.id)
        both = {drop.task.id for drop in drops} & (used | after.keys())
        if both:
            raise StageError(f"{stage} both dropped and returned task {sorted(both)[0]!r}, or a child of it")
        alive = frozenset().union(*(origin.ids for origin in after.values()))
        ends = list(_ends(stage, list(zip(given, self.ids)), known, drops, alive))
        ended = {drop.task.id for drop in ends}
        self.drops += ends
        self.omissions += [one for one in omissions if one.task.id not in ended]
        self.ids, self.origins = list(after), list(after.values())

    def _known(self) -> Origins:
        """Of the tasks that are given now."""
        if self.origins is None and not self.before and len(set(self.ids)) == len(self.ids):
            return _Inputs(self.ids)
        origins = self.origins
        if origins is None:
            origins = [Origin(frozenset((n,)), frozenset(one)) for n, one in enumerate(zip(*self.before, self.ids))]
        return _Descended(self.ids, origins)

    def _one_for_one(self, ids: list[str], returned: Sequence[Task]) -> bool:
        """Whether these are the given tasks as they were, or each the only child of one, in order."""
        if ids == self.ids:
            return True
        parents = [task.parents for task in returned]
        if self.origins is not None or parents != list(zip(self.ids)) or not self.unique.isdisjoint(self.ids):
            return False
        if len(set(self.ids)) < len(self.ids):  # an id stands for several inputs
            return False
        self.before.append(self.ids)
        self.ids = ids
        return True

    def passed(self) -> Collection[int]:
        """Ordinals of the inputs that something alive descends from."""
        if self.origins is None:
            return range(len(self.ids))
        return frozenset().union(*(origin.inputs for origin in self.origins))

    def survivors(self) -> frozenset[str]:
        """Ids, of inputs and between, that something alive descends from."""
        if self.origins is None:
            return frozenset(self.ids).union(*self.before)
        return frozenset().union(*(origin.ids for origin in self.origins))


class Origins(Protocol):
    """Origins of the tasks that a stage is given, by their ids."""

    def __contains__(self, task_id: object) -> bool: ...

    def __len__(self) -> int: ...

    def joined(self, parents: Sequence[str], task_id: str) -> Origin:
        """Of a task with these parents."""

    def at(self, place: int) -> Origin:
        """Of one of the tasks, by its place."""


class _Inputs:
    """Of inputs, which descend from themselves: made when they are asked for. Of most nobody asks."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._ordinals = {task_id: n for n, task_id in enumerate(ids)}

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._ordinals

    def __len__(self) -> int:
        return len(self._ordinals)

    def joined(self, parents: Sequence[str], task_id: str) -> Origin:
        """See `Origins`."""
        return Origin(frozenset([self._ordinals[parent] for parent in parents]), frozenset((*parents, task_id)))

    def at(self, place: int) -> Origin:
        """See `Origins`."""
        return Origin(frozenset((place,)), frozenset((self._ids[place],)))


class _Descended:
    """Of tasks with these origins. Several inputs may have one id."""

    def __init__(self, ids: Sequence[str], origins: Sequence[Origin]) -> None:
        self._origins, self._known = origins, dict(zip(ids, origins))
        if len(self._known) < len(ids):
            same: dict[str, list[Origin]] = {}
            for task_id, origin in zip(ids, origins):
                same.setdefault(task_id, []).append(origin)
            self._known = {task_id: Origin.joined(found) for task_id, found in same.items()}

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def joined(self, parents: Sequence[str], task_id: str) -> Origin:
        """See `Origins`."""
        return Origin.joined([self._known[parent] for parent in parents], task_id)

    def at(self, place: int) -> Origin:
        """See `Origins`."""
        return self._origins[place]


def _ends(
    stage: str, given: Sequence[tuple[Task, str]], known: Origins, drops: Sequence[Drop], alive: frozenset[str]
) -> Iterator[Drop]:
    """A drop for each given task that ends here, the first of those that name it; then those of other tasks."""
    by_task = {id(drop.task): drop for drop in reversed(drops)}
    own, ids = {id(task) for task, _ in given}, {task_id for _, task_id in given}
    by_id = {drop.task.id: drop for drop in reversed(drops) if id(drop.task) not in own}
    for place, (task, task_id) in enumerate(given):
        drop = by_task.get(id(task)) or by_id.get(task_id)
        if drop is None and task_id not in alive:
            drop = Drop(task, NOT_RETURNED, stage)
        if drop is not None:
            yield msgspec.structs.replace(drop, task=task, origin=known.at(place))
    yield from (drop for task_id, drop in by_id.items() if task_id not in ids)


def _out_of_nowhere(stage: str, task: Task) -> str:
    return (
        f"{stage} returned task {task.id!r}, which is no input and names no input as its parent; "
        "make new tasks with self.child(parent, …), or self.child(parents, …) of several"
    )
