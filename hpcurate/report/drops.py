"""Tasks that stages dropped on purpose, by reason."""

from __future__ import annotations

from collections import Counter

from hpcurate.report.run_view import RunView

Drops = dict[str, Counter[str]]
"""Stage → reason → tasks; stages that dropped nothing are left out."""


def drop_reasons(view: RunView, stage: str | None = None) -> Drops:
    """Of a run, or of one of its stages."""
    drops: Drops = {}
    for shard in view.shards(stage):
        if shard.counts.dropped:
            drops.setdefault(shard.stage, Counter()).update(shard.stats().reasons)
    return {name: reasons for name, reasons in drops.items() if reasons}
