"""What stages have lost, by reason: tasks dropped or not returned; what was left out of those that went on.

Counts are in the index. Files of shards are opened for examples alone, a few for each reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from hpcurate.report.examples import DROPPED, LEFT_OUT, Example, examples
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.store.stats import NOT_RETURNED, Amounts, add_amounts, rounded

Drops = dict[str, Counter[str]]
"""Stage → reason → tasks; stages that dropped nothing are left out."""
SHOWN = 8
"""Reasons of a stage that have examples."""
MOST_SHARDS = 3
"""Shards in which examples of a reason are looked for."""


@attrs.define(frozen=True, kw_only=True)
class Loss:
    """What a stage has lost for one reason."""

    stage: str
    reason: str
    count: int
    """Tasks that were dropped; or as many as the stage says it left out."""
    amounts: Amounts = attrs.field(factory=dict)
    left_out: bool = False
    """Whether it was left out of tasks that went on."""
    examples: tuple[Example, ...] = ()

    @property
    def meant(self) -> bool:
        """Whether a stage gave the reason."""
        return self.left_out or self.reason != NOT_RETURNED

    def plain(self) -> dict[str, Any]:
        """What `--json` prints."""
        return attrs.asdict(self)


def drop_reasons(view: RunView, stage: str | None = None) -> Drops:
    """Of a run, or of one of its stages."""
    drops: Drops = {}
    for shard in view.shards(stage):
        if shard.counts.reasons:
            drops.setdefault(shard.stage, Counter()).update(shard.counts.reasons)
    return drops


@attrs.define
class _Sum:
    """Of one reason of one stage."""

    count: int = 0
    amounts: Amounts = attrs.field(factory=dict)
    shards: list[CommittedShard] = attrs.field(factory=list)
    """The first that have it."""

    def add(self, shard: CommittedShard, count: int, amounts: Amounts) -> None:
        self.count += count
        add_amounts(self.amounts, amounts)
        if len(self.shards) < MOST_SHARDS:
            self.shards.append(shard)


def losses(view: RunView, stage: str | None = None) -> tuple[Loss, ...]:
    """Of a run, or of one of its stages, in their order: dropped, then left out, the most frequent first."""
    found: list[Loss] = []
    for planned in view.planned:
        if stage in (None, planned.name):
            shards = view.committed(planned)
            found += _of_stage(planned.name, _dropped(shards), DROPPED)
            found += _of_stage(planned.name, _left_out(shards), LEFT_OUT)
    return tuple(found)


def _dropped(shards: Iterable[CommittedShard]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for shard in shards:
        for reason, count in shard.counts.reasons.items():
            sums.setdefault(reason, _Sum()).add(shard, count, shard.counts.lost.get(reason, {}))
    return sums


def _left_out(shards: Iterable[CommittedShard]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for shard in shards:
        for reason, left in shard.counts.left_out.items():
            sums.setdefault(reason, _Sum()).add(shard, left.count, left.amounts)
    return sums


def _of_stage(stage: str, sums: dict[str, _Sum], file: str) -> Sequence[Loss]:
    ordered = sorted(sums.items(), key=lambda item: (-item[1].count, item[0]))
    shown = examples({reason: one.shards for reason, one in ordered[:SHOWN]}, file)
    return [
        Loss(
            stage=stage,
            reason=reason,
            count=one.count,
            amounts=rounded(one.amounts),
            left_out=file == LEFT_OUT,
            examples=shown.get(reason, ()),
        )
        for reason, one in ordered
    ]
