"""Group-by and join in the simulation: stages that get whole groups, and what has to come of them. Pure but the stages.

`team` sums up numbers by a key of its own, of which one has half of all rows. `left` and `right` read the same stage and
give two classes, `match` joins them by id: some ids have only one of the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hpcurate import GroupStage, Stage
from tests.simulation.kernel import Violation
from tests.simulation.tasks import Note, Number, Works

Row = dict[str, Any]
BEFORE: Mapping[str, tuple[str, ...]] = MappingProxyType({"right": ("double",), "match": ("left", "right")})
"""What stages read that do not read the one before them."""
TEAM, MATCH = "team", "match"
GROUPED = (TEAM, MATCH)
BITS = 12
"""All hashes have 4096 parts of equal size, of which none is ever cut."""
SORT = "sort_"
"""First letters of the names of sort steps."""


def team_of(value: int) -> str:
    """The key of a number."""
    half = value // 2
    return "many" if half % 2 else f"k{half % 7}"


def place(key: str) -> tuple[int, str]:
    """Where a key stands among all others."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big"), key


def bucket(key: str) -> int:
    """In which part of all hashes it is."""
    return place(key)[0] >> (64 - BITS)


def key_of(stage: str, row: Mapping[str, Any]) -> str:
    """The key of a row: for a group stage, or for the sort step of one."""
    by_team = stage == TEAM or stage.endswith(f"_for_{TEAM}")
    return team_of(row["value"]) if by_team else str(row["id"])


def sort_step(upstream: str, stage: str) -> str:
    """Name of the one that sorts for a group stage."""
    return f"{SORT}{upstream or 'input'}_" + (f"for_{TEAM}" if stage == TEAM else "by_id")


def groups_of(stage: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by key, in the order of the keys; in each group as they came."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key_of(stage, row), []).append(row)
    return {key: found[key] for key in sorted(found, key=place)}


def dies_where_sorted(stage: str, value: int, poison: int) -> bool:
    """Whether `key` ends its process: of every other one of the numbers that do."""
    return stage.endswith(f"_for_{TEAM}") and value >= poison and value % 2 == 1


def is_left_out(stage: str, row: Mapping[str, Any]) -> bool:
    """Whether the group goes on without it."""
    return stage == TEAM and row["value"] % 10 == 0


def made_of_groups(stage: str, rows: Iterable[Row], nonce: str) -> list[Row]:
    """What comes of groups: of each one row, unless it has none left. `of`: of a row of a join, who gave it."""
    out = []
    for key, group in groups_of(stage, rows).items():
        kept = [row for row in group if not is_left_out(stage, row)]
        if kept:
            total = sum(row["value"] * (3 if row.get("of") == "right" else 1) for row in kept)
            made_by = f"{_digest(row['made_by'] for row in kept)}/{nonce}"
            ids = [row["id"] for row in kept]
            out.append({"id": key, "parents": ids, "weight": 1.0, "value": total, "made_by": made_by})
    return out


def sorted_rows(stage: str, rows: Iterable[Row]) -> list[Row]:
    """What a sort step makes of rows."""
    return [row for group in groups_of(stage, rows).values() for row in group]


def _digest(names: Iterable[str]) -> str:
    """Of names in their order."""
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]


class Right(Works, Stage[Number, Note]):
    """Another class, and not for each number."""

    def process(self, tasks: list[Number]) -> list[Note]:
        """Those that eight does not divide."""
        self.work(tasks)
        if buggy := [task.id for task in tasks if task.id in self.bugs]:
            raise ValueError(f"there is a bug in {buggy[0]}.")
        for task in tasks:
            if task.value % 8 == 0:
                self.drop(task, "eight")
        kept = [task for task in tasks if task.value % 8]
        return [Note(id=task.id, value=task.value, made_by=f"{task.made_by}/{self.nonce}") for task in kept]


class _Summed(Works):
    """What both group stages do."""

    whole: Mapping[str, Sequence[str]] = MappingProxyType({})
    """Of each key of the shard in work, ids in order, as they truly are."""

    def checked(self, key: str, tasks: Sequence[Any]) -> None:
        """A group is given in one call, whole, and in order."""
        ids = [task.id for task in tasks]
        if self.whole and ids != list(self.whole.get(key, ())):
            raise Violation(f"I15: the group {key} is given as {ids}, and is {list(self.whole.get(key, ()))}")
        if buggy := [name for name in ids if name in self.bugs]:
            raise ValueError(f"there is a bug in {buggy[0]}.")

    def summed(self, stage: Stage[Any, Any], key: str, tasks: Sequence[Any]) -> list[Number]:
        """One task for the group."""
        if not tasks:
            return []
        total = sum(task.value * (3 if type(task) is Note else 1) for task in tasks)
        made_by = f"{_digest(task.made_by for task in tasks)}/{self.nonce}"
        return [stage.child(tasks, Number, id=key, value=total, made_by=made_by)]


class Team(_Summed, GroupStage[Number, Number]):
    """The sum of each team."""

    poison = 1000
    """See `dies_where_sorted`."""

    def key(self, task: Number) -> str:
        """By its value. With a bug, where rows are sorted."""
        if task.id in self.bugs and not self.whole:
            raise ValueError(f"there is a bug in {task.id}.")
        if dies_where_sorted(sort_step("", TEAM), task.value, self.poison):
            self.work([task])
        return team_of(task.value)

    def process(self, tasks: list[Number]) -> list[Number]:
        """See `GroupStage`."""
        self.work(tasks)
        return super().process(tasks)

    def process_group(self, key: str, tasks: list[Number]) -> list[Number]:
        """Without those that ten divides."""
        self.checked(key, tasks)
        for task in tasks:
            if is_left_out(TEAM, {"value": task.value}):
                self.drop(task, "ten")
        return self.summed(self, key, [task for task in tasks if not is_left_out(TEAM, {"value": task.value})])


class Match(_Summed, GroupStage[Number | Note, Number]):
    """What two branches have made of the same number."""

    def process(self, tasks: list[Any]) -> list[Number]:
        """See `GroupStage`."""
        self.work(tasks)
        return super().process(tasks)

    def process_group(self, key: str, tasks: list[Any]) -> list[Number]:
        """One and three times the other."""
        self.checked(key, tasks)
        return self.summed(self, key, tasks)


def whole_groups(stage: str, rows: Iterable[Row]) -> dict[str, list[str]]:
    """Key → ids, for `_Summed.whole`."""
    return {key: [row["id"] for row in group] for key, group in groups_of(stage, rows).items()}


def stages_with_bugs(stages: Sequence[str]) -> list[str]:
    """Where tasks may fail: also where keys are made."""
    sorts = [step for step in sorted_by(stages) if step.endswith(f"_for_{TEAM}")]
    return [name for name in stages if name != "collect"] + sorts


def sorted_by(stages: Sequence[str]) -> dict[str, str]:
    """Sort step → whose rows it sorts; the source is empty."""
    found = {}
    for before, name in zip(("", *stages), stages):
        for upstream in BEFORE.get(name, (before,)) if name in GROUPED else ():
            found[sort_step(upstream, name)] = upstream
    return found


def lost_with(stage: str, rows: Iterable[Row], failing: Collection[str]) -> set[str]:
    """Ids of rows that end as dead letters where these fail: all those of their groups."""
    if stage not in GROUPED:
        return set(failing)
    groups = groups_of(stage, rows).values()
    return {row["id"] for group in groups if any(row["id"] in failing for row in group) for row in group}
