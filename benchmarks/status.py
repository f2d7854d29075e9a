"""How long `hpcurate status`, `watch` and `why` take when a stage has 10 000 shards, all but one committed.

    python benchmarks/status.py [SHARDS]

Each shard has dropped a task for one of three reasons, and left something out; one in a hundred has a dead letter. The
folders that are full have their index, as a run writes it. Beside that: the bare start of Python, and listing the same
folders with os.scandir. Warm page cache, best of five.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from hpcurate.environments.resolve import Environments
from hpcurate.failures import DeadLetter
from hpcurate.planning.build import Step, no_weights
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.options import StageOptions
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import open_run, open_store
from hpcurate.runs.indexing import write_index
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.start import write_run
from hpcurate.source.intake import take_in
from hpcurate.source.scan import scan
from hpcurate.store.dropped import DroppedRow
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import LeftOut, ShardStats
from hpcurate.world import World
from stages.hello import LowerCase, Print, Prompts

LOCAL = {"_target_": "launchers.local.LocalLauncher"}


class Unflushed(PosixFilesystem):
    """Making the store is not what is measured."""

    def freeze(self, folder: str) -> None:
        """Leave it."""


def make(root: str, shards: int) -> None:
    """A run with so many shards in its first stage, the last one open."""
    source = Prompts(tuple(str(number) for number in range(shards)))
    steps = {"lower_case": Step(LowerCase(), StageOptions(shard_tasks=1)), "show": Step(Print())}
    request = Request(
        name="bench",
        source=source,
        steps=lambda output: steps,
        store=root,
        launcher=LOCAL,
        weights=no_weights,
        environments=Environments(root, []),
        epochs=Epochs(root),
    )
    prepared, world, store = prepare(request), World(filesystem=Unflushed()), open_store(root)
    run, pipeline = open_run(store, prepared.draft, None), prepared.draft
    intake = take_in(world, store, pipeline.source.folder, scan(source))
    write_run(run, pipeline, intake.lists, prepared, echo=lambda line: None, world=world)
    driver = Driver(run, make_launcher(LOCAL), world=world)
    observer, stage = driver.observer, driver.observer.store(pipeline.stages[0].folder)
    for name, lines in observer.missing_lists(pipeline.stages[0]).items():
        for number, line in enumerate(stage.lists.write(name, lines)[:-1]):
            commit(stage, line.id, number)
    (view, *_) = observer.look()
    for folder, fan in view.unindexed:
        write_index(observer.store(folder), folder, fan, observer.commits)


def commit(stage: StageStore, shard: str, number: int) -> None:
    """A shard of three tasks: one passed on, one dropped, one failed or dropped, too."""
    path, reason, failed = stage.commits.begin(shard, 1, "n"), f"darker than {number % 3}", int(number % 100 == 0)
    clip = {"id": f"c{number}", "source": f"v{number}.mp4", "start_s": 0.0, "end_s": 4.0}
    row = DroppedRow(id=clip["id"], input=True, stage="dark", reason=reason, value=0.5, threshold=2.0, task=clip)
    rows = {"tasks": b"{}\n", "dropped": row.line() * (2 - failed)}
    if failed:
        letter = DeadLetter(id="f", stage="lower_case", error="ValueError", message=f"v{number}.mp4: bad", task=clip)
        rows["failed"] = letter.line()
    for name, data in rows.items():
        stage.filesystem.replace(os.path.join(path, f"{name}.jsonl"), data)
    stats = ShardStats(
        shard=shard, nonce="n", weight_out=1.0, tasks_in=3, tasks_out=1, passed=1, dropped=2 - failed, failed=failed,
        reasons={reason: 2 - failed}, lost={reason: {"seconds": 4.0, "bytes": 1e6}}, attempt=1, worker="w-1-2-3",
        amounts_in={"seconds": 12.0, "bytes": 3e6}, amounts_out={"seconds": 3.5, "bytes": 1e6}, begun=1.7e9, ended=2e9,
        left_out={"shorter than 2 s": LeftOut(1, {"seconds": 0.5})}, seconds=8.0, process_seconds=7.0,
    )  # fmt: skip
    stage.commits.commit(path, stats)


def best(command: Sequence[str], times: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        found.append(time.perf_counter() - started)
    return min(found)


LIST = "import os, sys; print(sum(1 for b in os.scandir(sys.argv[1]) for f in os.scandir(b.path)))"


def main() -> None:
    """Print the table."""
    shards = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as root:
        make(root, shards)
        (folder,) = (e.path for e in os.scandir(f"{root}/stages") if e.name.startswith("lower_case"))
        python = sys.executable
        print(f"{shards} shards, {shards - 1} committed")
        print(f"python -c pass              {best([python, '-c', 'pass']):.3f} s")
        print(f"listing the shards          {best([python, '-c', LIST, folder + '/shards']):.3f} s")
        for verb in ("status", "status --json", "watch --once", "why", "why --json"):
            command = [python, "-m", "hpcurate", *verb.split(), "--store", root]
            print(f"hpcurate {verb:<18} {best(command):.3f} s")


if __name__ == "__main__":
    main()
