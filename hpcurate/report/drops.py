"""Tasks that ended without a failure: dropped on purpose, by reason, or not returned."""

from __future__ import annotations

from collections import Counter

from hpcurate.report.run_view import RunView
from hpcurate.store.stats import NOT_RETURNED

Drops = dict[str, Counter[str]]
"""Stage → reason → tasks; stages that dropped nothing are left out."""


def drop_reasons(view: RunView, stage: str | None = None) -> Drops:
    """Of a run, or of one of its stages."""
    drops: Drops = {}
    for shard in view.shards(stage):
        if shard.counts.dropped:
            drops.setdefault(shard.stage, Counter()).update(shard.stats().reasons)
    return {name: reasons for name, reasons in drops.items() if reasons}


def split_drops(drops: Drops) -> tuple[Drops, dict[str, int]]:
    """(what was dropped on purpose, stage → tasks that were neither returned nor dropped). Pure."""
    meant = {
        stage: Counter({reason: n for reason, n in reasons.items() if reason != NOT_RETURNED})
        for stage, reasons in drops.items()
    }
    forgotten = {stage: reasons[NOT_RETURNED] for stage, reasons in drops.items() if reasons[NOT_RETURNED]}
    return {stage: reasons for stage, reasons in meant.items() if reasons}, forgotten
