"""One stage with its shards on disk and the plan of a round, so that a test may run a worker on it itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from hpcurate import Stage, Task
from hpcurate.failures import Report
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.plan import Plan
from hpcurate.source.items import Items
from hpcurate.store.filesystem import POSIX
from hpcurate.store.layout import Store, shard_id
from hpcurate.store.lists import Input, ShardLine
from hpcurate.store.reports import read_reports
from hpcurate.store.rows import codec
from hpcurate.store.stage_store import StageStore
from hpcurate.system.clock import SystemClock
from hpcurate.worker.hosts.inprocess import InProcessHosts
from hpcurate.worker.supervisor import Supervisor
from hpcurate.world import World


@attrs.define
class Bench:
    """A store with one stage that is ready to run."""

    plan: Plan
    submission: str
    lines: list[str] = attrs.field(factory=list)
    """What workers print."""

    @property
    def store(self) -> StageStore:
        """The stage's."""
        return World().stage(Store(self.plan.store), self.plan.stage.folder)

    def worker(self, world: World | None = None, **more: Any) -> Supervisor:
        """A worker that runs the stage in this process."""
        settings: dict[str, Any] = {"job": "test", "hosts": InProcessHosts(), "log": self.lines.append, **more}
        return Supervisor(self.plan, self.submission, 0, world=world, **settings)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Rows of all committed shards."""
        paths = sorted(Path(self.store.folder.path, "shards").glob(f"*/[!.]*/{kind}.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def failure(self) -> Report:
        """What a worker reported."""
        (found,) = read_reports(POSIX, self.submission)
        return found


def bench(folder: Path, stage: Stage[Any, Any], tasks: Sequence[Task], per_shard: int, **options: Any) -> Bench:
    """The stage with these tasks cut into shards; nothing has been done."""
    store, submission = Store(str(folder / "store")), folder / "submission"
    step = Step(stage, StageOptions(**options))
    planned = build("test", Items(list(tasks)), {"stage": step}).stages[0]
    upstream = Path(store.stage("source").shard(shard_id("0001", 0)))
    upstream.mkdir(parents=True)
    submission.mkdir(parents=True, exist_ok=True)
    write = codec(type(tasks[0])).encode
    (upstream / "tasks.jsonl").write_bytes(b"".join(write(task) + b"\n" for task in tasks))
    starts = range(0, len(tasks), per_shard)
    ranges = [(low, min(low + per_shard, len(tasks))) for low in starts]
    lines = [
        ShardLine(shard_id("0001", n), high - low, high - low, (Input("source", upstream.name, "n", low, high),))
        for n, (low, high) in enumerate(ranges)
    ]
    plan = Plan(stage=planned, run="run", store=store.root, lists=("0001",), round=1, workers=1)
    found = Bench(plan, str(submission))
    found.store.lists.write("0001", lines)
    found.store.filesystem.make_folders(found.store.folder.rounds)
    return found


class QuickClock(SystemClock):
    """Sleeping takes no time, and is seen on the clock."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        """Real time, and what was slept."""
        return super().monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """At once."""
        self.slept += seconds
