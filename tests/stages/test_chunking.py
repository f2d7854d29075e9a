"""`+pipeline=chunking`: one long and 99 short inputs, shards of nearly one weight."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import hpcurate
from hpcurate.cli.start.compose import compose
from hpcurate.cli.start.inputs import read_source
from hpcurate.cli.start.steps import read_steps
from hpcurate.planning.slicing import Slicing, pieces

TARGET = 4000
"""Words of the heaviest chunk."""


def test_no_shard_is_heavier_than_twice_the_target(tmp_path: Path) -> None:
    """Uncut, the long document would be one shard of five times the target; its counts are those of all of it."""
    plain = compose([f"params.target={TARGET}", "+pipeline=chunking"], {}, []).draft()
    source = read_source(plain["source"])
    documents = list(source.tasks())
    uncut = pieces([task.weight for task in documents], Slicing(tasks=0, weight=TARGET))
    assert 5 * TARGET == max(sum(documents[row].weight for row in rows) for rows in uncut)

    run = hpcurate.run(read_steps(plain["stages"]), source, store=tmp_path / "store", launcher="inline")
    shards = (tmp_path / "store").glob("stages/count-*/shards/*/*/stats.json")
    weights = [json.loads(path.read_text())["weight_out"] for path in shards]
    assert (21_980, 64) == (sum(weights), len(weights))
    assert max(weights) <= TARGET

    totals = {task.document: task for task in run.tasks("total")}  # type: ignore[attr-defined]
    assert (100, 5, 1) == (len(totals), totals["document-0"].chunks, totals["document-1"].chunks)
    assert all(dict(Counter(one.words)) == totals[one.document].counts for one in documents)  # type: ignore[attr-defined]
