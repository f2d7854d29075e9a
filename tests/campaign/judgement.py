"""Whether a run ended as it has to: with the tree of the undisturbed one, or that and the dead letters of the policy.

Pure. What the policy says is written here once more, and not taken from the code that it judges.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import attrs

TO_BLAME = 2
"""Deaths of a process at which a task was in work alone that make it a dead letter."""
COUNTS = ("crash", "oom", "dead", "timeout")
"""Endings that may blame a task that was in work alone."""
BY_WHOLE = ("all.txt", "clips.parquet", "summary.json")
"""Files of the output that are made of all tasks."""


@attrs.define(frozen=True, kw_only=True)
class Letter:
    """A dead letter, and how the attempts of its shard before the committed one ended."""

    stage: str
    id: str
    error: str
    message: str
    history: tuple[tuple[str, tuple[str, ...]], ...]
    """(ending, tasks in work)."""

    def __str__(self) -> str:
        return f"{self.stage} {self.id}: {self.error}: {self.message.splitlines()[0] if self.message else ''}"


@attrs.define(frozen=True, kw_only=True)
class Tree:
    """All that a run is worth."""

    rows: dict[str, str]
    """`<stage>/<shard>/<file>` → its lines, without what differs from store to store."""
    letters: tuple[Letter, ...] = ()


def judgement(
    expected: Tree, found: Tree, differences: Iterable[str], failed_helpers: Collection[str] = ()
) -> tuple[list[Letter], list[str]]:
    """Dead letters that had to be, and what is wrong. `differences` is what same-tree says of the two outputs."""
    known = {(letter.stage, letter.id) for letter in expected.letters}
    letters = [letter for letter in found.letters if (letter.stage, letter.id) not in known]
    wrong = [f"a dead letter for no reason: {one}" for one in letters if not justified(one, failed_helpers)]
    if not letters:
        return [], [*_unlike(expected.rows, found.rows), *differences]
    dead = descended(expected.rows, {letter.id for letter in letters})
    wrong += _unlike_rows(_by_stage(expected.rows, dead), _by_stage(found.rows, dead))
    return letters, [*wrong, *(line for line in differences if not _follows(line, dead))]


def justified(letter: Letter, failed_helpers: Collection[str]) -> bool:
    """Whether the policy makes this task a dead letter after what happened to it."""
    if letter.error == "CalledProcessError":
        return letter.id in failed_helpers
    alone = [ending for ending, tasks in letter.history if ending in COUNTS and tasks == (letter.id,)]
    return len(alone) >= TO_BLAME


def descended(rows: dict[str, str], dead: set[str]) -> set[str]:
    """Ids of the dead, and of all that was made of them."""
    parents = {row["id"]: set(row.get("parents", ())) for _, row in _parsed(rows)}
    while more := {id for id, above in parents.items() if id not in dead and above & dead}:
        dead = dead | more
    return dead


def _parsed(rows: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """(stage/file, row)."""
    found = []
    for name, text in rows.items():
        stage, _, file = name.split("/")
        found += [(f"{stage}/{file}", json.loads(line)) for line in text.splitlines()]
    return found


def _by_stage(rows: dict[str, str], dead: set[str]) -> Counter[str]:
    """How often each row is there, of whatever shard, without the dead."""
    kept = [(name, row) for name, row in _parsed(rows) if row["id"] not in dead]
    return Counter(f"{name}: {json.dumps(row, sort_keys=True)}" for name, row in kept)


def _unlike(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    names = sorted({*expected, *found})
    return [f"rows differ: {name}" for name in names if expected.get(name) != found.get(name)]


def _unlike_rows(expected: Counter[str], found: Counter[str]) -> list[str]:
    lacks = [f"a row is lacking: {row[:200]}" for row in expected - found]
    return [*lacks, *(f"a row too many: {row[:200]}" for row in found - expected)]


def _follows(line: str, dead: set[str]) -> bool:
    """Whether a difference of the outputs follows from the dead letters."""
    what, _, path = line.partition(": ")
    path = path.split("'")[1] if "'" in path else path
    last = path.rstrip("/").rpartition("/")[2]
    if what == "only in A":
        return any(id in path or id.startswith(last) for id in dead)
    return what == "differs" and last in BY_WHOLE
