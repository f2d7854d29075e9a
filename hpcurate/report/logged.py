"""What stages logged beside their tasks: in a line each, and whole: curves, tables and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.store.stats import Logged, added

SHARDS = 200
"""So many shards of a stage are read for curves, tables and figures; sums are of all."""


@attrs.define(frozen=True, kw_only=True)
class LoggedRow:
    """A row of `logged.jsonl`."""

    name: str
    kind: str
    value: Any
    """A number or None, the rows of a table, or the path of a figure relative to the shard's folder."""
    step: int | None = None


@attrs.define(frozen=True, kw_only=True)
class Results:
    """What one stage logged."""

    stage: str
    sums: Mapping[str, Logged]
    """Name → over all shards."""
    curves: dict[str, list[tuple[int, float | None]]] = attrs.field(factory=dict)
    """Name → (step, number) in the order of steps; None: it was not finite."""
    tables: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    """Name → rows, those of all shards one after the other."""
    figures: dict[str, list[Path]] = attrs.field(factory=dict)
    """Name → files, by step."""
    shards_left: int = 0
    """Shards that were not read: there are more than `SHARDS`."""


def results_of(view: RunView, stage: PlannedStage) -> Results:
    """All of one stage, from its committed shards: it does not matter which run made them."""
    shards = [shard for shard in view.committed(stage) if shard.counts.logged]
    rows = [row for shard in shards[:SHARDS] for row in _rows(shard)]
    return Results(
        stage=stage.name,
        sums=added(shard.counts.logged for shard in shards),
        curves=_curves(rows),
        tables={name: [row for one in of for row in one.value] for name, of in _by_name(rows, "table").items()},
        figures={name: [one.value for one in of] for name, of in _by_name(rows, "figure").items()},
        shards_left=max(0, len(shards) - SHARDS),
    )


def _rows(shard: CommittedShard) -> Iterator[LoggedRow]:
    for line in (shard.path / "logged.jsonl").read_bytes().splitlines():
        row = msgspec.convert(json.loads(line), LoggedRow)
        yield attrs.evolve(row, value=shard.path / row.value) if row.kind == "figure" else row


def _curves(rows: list[LoggedRow]) -> dict[str, list[tuple[int, float | None]]]:
    curves = {
        name: [(one.step, one.value) for one in of if one.step is not None]
        for name, of in _by_name(rows, "number").items()
    }
    return {name: points for name, points in curves.items() if points}


def _by_name(rows: list[LoggedRow], kind: str) -> dict[str, list[LoggedRow]]:
    found: dict[str, list[LoggedRow]] = {}
    for row in rows:
        if row.kind == kind:
            found.setdefault(row.name, []).append(row)
    return {name: sorted(of, key=lambda one: one.step or 0) for name, of in found.items()}


def described(one: Logged) -> str:
    """`0.91`, `812 (mean of 14, 640 to 990)`, `2.31 at step 1, 0.42 at step 500`, `a table`, `3 figures`. Pure."""
    if one.kind != "number":
        return f"a {one.kind}" if one.count == 1 else f"{one.count} {one.kind}s"
    if not one.count:
        return "no finite number"
    if one.first is not None and one.last is not None and one.first != one.last:
        return f"{_short(one.first[1])} at step {one.first[0]}, {_short(one.last[1])} at step {one.last[0]}"
    if one.count == 1:
        return _short(one.total)
    return f"{_short(one.total / one.count)} (mean of {one.count}, {_short(one.least)} to {_short(one.most)})"


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}"
