"""Examples of what was dropped or left out: which file, what was measured, what it had to meet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

import attrs

from hpcurate.report.rows import Plain, label_of, lines_of, loaded
from hpcurate.report.run_view import CommittedShard
from hpcurate.store.stats import Amounts

MOST = 3
"""Examples of a reason."""
LOOKED_AT = 100
"""Rows of a reason that are looked at: examples are of different files, or spans, where there are some."""


@attrs.define(frozen=True, kw_only=True)
class Example:
    """One of those that were lost for a reason."""

    shard: str
    id: str
    name: str
    """What a user calls it: `v2d.mp4, 3.2–5.5 s`."""
    stage: str
    """Stage, or the member of a chain."""
    value: float | str | None = None
    threshold: float | str | None = None
    measure: str = ""
    count: int | None = None
    """Of what was left out."""
    amounts: Amounts = attrs.field(factory=dict)


def examples(wanted: Mapping[str, Sequence[CommittedShard]], file: str) -> dict[str, tuple[Example, ...]]:
    """Reason → a few examples, from that file of these shards; each shard is read once."""
    shards = {shard.id: shard for some in wanted.values() for shard in some}
    found: dict[str, _Found] = {reason: _Found(reason) for reason in wanted}
    for id, shard in shards.items():
        open_ends = [found[reason] for reason, some in wanted.items() if any(one.id == id for one in some)]
        with suppress(OSError, ValueError):  # purged, or damaged: there are others
            _read(shard, file, [one for one in open_ends if not one.enough])
    return {reason: one.best() for reason, one in found.items()}


class _Found:
    """Examples of one reason."""

    def __init__(self, reason: str) -> None:
        self.needle = f'"reason":{json.dumps(reason)}'.encode()
        self._named: dict[str, Example] = {}
        self._others: list[Example] = []
        self._looked = 0

    @property
    def enough(self) -> bool:
        """Whether no more is needed."""
        return len(self._named) >= MOST or self._looked >= LOOKED_AT

    def add(self, shard: str, row: Plain) -> None:
        """A row with this reason."""
        self._looked += 1
        example = example_of(shard, row)
        if row.get("task") is None or example.name in self._named:
            self._others.append(example)
        else:
            self._named[example.name] = example

    def best(self) -> tuple[Example, ...]:
        """Of different names, and only if there are none, of what has but an id."""
        return tuple(self._named.values()) or tuple(self._others[:MOST])


def _read(shard: CommittedShard, file: str, wanted: Sequence[_Found]) -> None:
    for line in lines_of(shard, file) if wanted else ():
        for one in wanted:
            if one.needle in line and not one.enough:
                one.add(shard.id, loaded(line))
        if all(one.enough for one in wanted):
            return


def example_of(shard: str, row: Plain) -> Example:
    """From a row of `dropped.jsonl` or `left_out.jsonl`. Pure."""
    task: Plain = row.get("task") or {"id": row["id"]}
    fields = ("value", "threshold", "measure", "count", "amounts")
    given = {name: row[name] for name in fields if row.get(name) is not None}
    return Example(shard=shard, id=row["id"], name=label_of(task), stage=row["stage"], **given)
