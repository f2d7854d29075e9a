"""What must hold of the lists of group stages, and of what is below them: on the true state, as each is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.store.layout import fan_of
from tests.simulation.filesystem import Disk, Node
from tests.simulation.groups import BITS, GROUPED, bucket, key_of
from tests.simulation.kernel import Violation

if TYPE_CHECKING:
    from tests.simulation.truth import Truth

Line = dict[str, Any]
Place = tuple[str, str, str, int]
"""A row of an attempt: stage folder, shard, nonce, row."""


def places(inputs: Iterable[list[Any]]) -> Iterator[Place]:
    """Rows of some inputs of a line, in order."""
    for stage, shard, nonce, low, high in inputs:
        yield from ((stage, shard, nonce, row) for row in range(low, high))


def widest(own: Iterable[int], others: Iterable[int]) -> range:
    """The largest part of all hashes that halving gives and that has these buckets and no others."""
    found, left, number = set(own), set(others), range(0)
    for size in (1 << n for n in range(BITS + 1)):
        halves = {one // size for one in found}
        if len(halves) == 1:
            (first,) = halves
            wider = range(first * size, (first + 1) * size)
            if number and left & set(wider):
                break
            number = wider
    return number


@attrs.define(eq=False)
class Grouping:
    """Watches one store."""

    truth: Truth
    _lists: dict[str, dict[str, list[Line]]] = attrs.field(factory=dict)
    """Stage folder → the lists of it that were ever written, and derive from groups."""
    _keys: dict[Place, str] = attrs.field(factory=dict)
    """The key of each row that was ever in one of them."""

    def __attrs_post_init__(self) -> None:
        self.truth.disk.hooks.append(self.heard)

    @property
    def _disk(self) -> Disk:
        return self.truth.disk

    def heard(self, what: str, names: list[str], node: Node | None) -> None:
        """One change: see `Truth.heard`."""
        if len(names) != 6 or names[1] != self.truth.store[1:] or names[4] != "lists" or node is None or not node.data:
            return
        folder, name = names[3], names[5].removesuffix(".jsonl")
        stage = folder.rpartition("-")[0]
        if name.startswith(".") or not (name.startswith("group.") or (stage in GROUPED and name.startswith("retry."))):
            return
        lines = [json.loads(line) for line in node.data.splitlines() if line]
        if stage in GROUPED:
            self._see_keys(stage, lines)
            self._groups_are_whole(f"{name} of {folder}", lines)
        if name.startswith("retry."):
            self._retried_whole(f"{name} of {folder}", stage, lines)
        else:
            self._stays(folder, name, lines)

    def _see_keys(self, stage: str, lines: Iterable[Line]) -> None:
        """Keys of rows that stand; of a line, also that its rows begin where it has them."""
        for line in lines:
            offsets = line.get("offsets") or [None] * len(line["inputs"])
            for (folder, shard, nonce, low, high), offset in zip(line["inputs"], offsets, strict=True):
                node = self._disk.find(f"{self.truth.store}/stages/{folder}/shards/{fan_of(shard)}/{shard}/tasks.jsonl")
                if node is None or self.truth.stats(folder, shard).get("nonce") != nonce:
                    continue
                rows = node.data.splitlines(keepends=True)
                for row in range(low, min(high, len(rows))):
                    self._keys[folder, shard, nonce, row] = key_of(stage, json.loads(rows[row]))
                if offset is not None and offset != [0, *accumulate(map(len, rows))][low]:
                    raise Violation(f"I15: row {low} of {shard} of {folder} does not begin at byte {offset}")

    def _groups_are_whole(self, what: str, lines: Iterable[Line]) -> None:
        """No key is in two lines, and no row."""
        owners, seen = dict[str, str](), Counter[Place]()
        for line in lines:
            seen.update(places(line["inputs"]))
            for key in {self._keys[row] for row in places(line["inputs"]) if row in self._keys}:
                if owners.setdefault(key, line["id"]) != line["id"]:
                    raise Violation(f"I15: {what}, by {self.truth.who()}, has the group {key} in two shards")
        if twice := [row for row, count in seen.items() if count > 1]:
            raise Violation(f"I10: {what} has {twice[0]} twice")

    def _retried_whole(self, what: str, stage: str, lines: Iterable[Line]) -> None:
        """A group that is tried again is all there."""
        for line in lines:
            ended = Counter((shard, nonce) for _, shard, nonce, _ in places(line["retries"]))
            if len(ended) > 1:
                raise Violation(f"I15: {what} tries rows of {len(ended)} shards in one")
            given = self._given(line["retries"][0][0], line["retries"][0][1])
            tried = Counter(self._keys[row] for row in places(line["inputs"]) if row in self._keys)
            whole = Counter(self._keys[row] for row in given if row in self._keys)
            if split := [key for key in tried if whole and tried[key] != whole[key]]:
                raise Violation(f"I15: {what} tries {tried[split[0]]} of the {whole[split[0]]} rows of {split[0]}")

    def _given(self, folder: str, shard: str) -> list[Place]:
        line = self.truth.line(folder, shard)
        return list(places(line["inputs"])) if line else []

    def _stays(self, folder: str, name: str, lines: list[Line]) -> None:
        """What the input has grown by touches the ranges that it is in: every other line is the same as before."""
        known, now = self._lists.setdefault(folder, {}), {place for line in lines for place in places(line["inputs"])}
        by_id = {line["id"]: line["inputs"] for line in lines}
        for other, before in known.items():
            rows = [list(places(line["inputs"])) for line in before]
            for line, own in zip(before, rows, strict=True):
                same = by_id.get(line["id"]) == line["inputs"]
                if not same and self._is_untouched(folder, {row for one in rows for row in one}, own, now):
                    raise Violation(
                        f"I12: {name} of {folder}, by {self.truth.who()}, has no {line['id']} any more, which {other} has, "
                        f"and nothing has come to its rows"
                    )
        known[name] = lines

    def _is_untouched(self, folder: str, before: set[Place], own: list[Place], now: set[Place]) -> bool:
        """Whether no row was lost, and none has come to the range of these."""
        if folder.rpartition("-")[0] not in GROUPED:
            return set(own) <= now  # below, each line is a range by itself
        if not before <= now or any(row not in self._keys for row in now):
            return False
        buckets = {row: bucket(self._keys[row]) for row in now}
        parts = widest((buckets[row] for row in own), (buckets[row] for row in before - set(own)))
        return {row for row in now if buckets[row] in parts} == set(own)


def check_cover(what: str, lines: Iterable[Line], above: Iterable[tuple[str, str, str, int]]) -> None:
    """Every row that the stages above have passed on is in one line. `above`: stage, shard, nonce, rows."""
    should = {(stage, shard, nonce, row) for stage, shard, nonce, rows in above for row in range(rows)}
    found = Counter(place for line in lines if not line.get("retries") for place in places(line["inputs"]))
    if set(found) != should or any(count > 1 for count in found.values()):
        twice = [row for row, count in found.items() if count > 1]
        raise Violation(
            f"I10: {what} lacks {sorted(should - set(found))}, has {twice} twice and has {sorted(set(found) - should)}"
        )
