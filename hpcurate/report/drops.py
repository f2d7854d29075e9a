"""What stages have lost, by reason: tasks dropped or not returned; what was left out of those that went on.

Counts are in the index. Files of shards are opened for examples alone, a few for each reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.examples import Example, examples
from hpcurate.report.rows import DROPPED, LEFT_OUT
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.runs.summary import StageReport
from hpcurate.store.stats import NOT_RETURNED, Amounts, Committed

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


def losses(view: RunView, stages: Mapping[str, StageReport], stage: str | None = None) -> tuple[Loss, ...]:
    """Of a run, or of one of its stages, in their order: dropped, then left out, the most frequent first.

    `stages`: where they stand, with the sums of all shards.
    """
    found: list[Loss] = []
    for planned in view.planned:
        if stage in (None, planned.name):
            one, name = stages[planned.name], planned.name
            dropped = [
                Loss(stage=name, reason=reason, count=count, amounts=one.lost.get(reason, {}))
                for reason, count in one.reasons.items()
            ]
            left_out = [
                Loss(stage=name, reason=reason, count=left.count, amounts=left.amounts, left_out=True)
                for reason, left in one.left_out.items()
            ]
            found += _with_examples(view, planned, dropped, lambda counts: counts.reasons, DROPPED)
            found += _with_examples(view, planned, left_out, lambda counts: counts.left_out, LEFT_OUT)
    return tuple(found)


Reasons = Callable[[Committed], Mapping[str, object]]
"""The reasons that a shard has."""


def _with_examples(
    view: RunView, planned: PlannedStage, some: Iterable[Loss], reasons: Reasons, file: str
) -> list[Loss]:
    ordered = sorted(some, key=lambda loss: (-loss.count, loss.reason))
    shards = _first_shards(view, planned, {loss.reason for loss in ordered[:SHOWN]}, reasons)
    shown = examples(shards, file)
    return [attrs.evolve(loss, examples=shown.get(loss.reason, ())) for loss in ordered]


def _first_shards(
    view: RunView, planned: PlannedStage, wanted: set[str], reasons: Reasons
) -> dict[str, list[CommittedShard]]:
    """Reason → the first few shards that have it."""
    found: dict[str, list[CommittedShard]] = {reason: [] for reason in wanted}
    for shard in view.having(planned, lambda counts: not wanted.isdisjoint(reasons(counts))) if wanted else ():
        for reason in wanted & reasons(shard.counts).keys():
            found[reason].append(shard)
            if len(found[reason]) == MOST_SHARDS:
                wanted.discard(reason)
        if not wanted:
            break
    return found
