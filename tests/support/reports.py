"""Values of reports, made by hand."""

from __future__ import annotations

from typing import Any

from hpcurate.failures import DeadLetter
from hpcurate.report.dead_letters import LocatedDeadLetter
from hpcurate.report.run_view import CommittedShard
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, StageReport
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import StageFolder
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed


def dead_letter(stage: str, message: str, source: str = "x.mp4") -> LocatedDeadLetter:
    """One of a shard that is on no disk."""
    counts = Committed(
        shard="0001-000000", nonce="n", tasks_in=1, tasks_out=0, passed=0, dropped=0, failed=1, weight_out=0.0
    )
    store = StageStore(PosixFilesystem(), StageFolder("/nowhere"), "/nowhere/trash")
    letter = DeadLetter(id=source, stage=stage, error="E", message=message, task={"source": source})
    return LocatedDeadLetter(CommittedShard(stage, store, counts), letter)


def stage_report(**fields: Any) -> StageReport:
    """Two of four shards done, five tasks in, one failed."""
    usual = {
        "tasks_in": 5,
        "tasks_out": 4,
        "dropped": 0,
        "failed": 1,
        "shards": 4,
        "shards_done": 2,
        "seconds": 1.0,
        "progress": 0.5,
    }
    return StageReport(**{**usual, **fields})


def run_report(**fields: Any) -> RunReport:
    """Of a run at work."""
    usual = {
        "run": "r",
        "pipeline": "p",
        "state": RunState.RUNNING,
        "reason": "a: round 1 is at work",
        "as_of": "2026-01-01T00:00:00Z",
        "stages": {"a": stage_report()},
        "output": "/o",
        "next": "n",
    }
    return RunReport(**{**usual, **fields})
