"""How long `hpcurate status` takes when a stage has 10 000 shards, all but one committed.

    python benchmarks/status.py [SHARDS]

Beside it: the bare start of Python, and listing the same folders with os.scandir. Warm page cache, best of five.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from hpcurate.environments.resolve import Environments
from hpcurate.planning.build import Step, no_weights
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.options import StageOptions
from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import open_run, open_store
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.prepare import Request, prepare
from hpcurate.runs.start import write_run
from hpcurate.source.intake import take_in
from hpcurate.source.scan import scan
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.stats import ShardStats
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
    prepared = prepare(request)
    world, store = World(filesystem=Unflushed()), open_store(root)
    run, pipeline = open_run(store, prepared.draft, None), prepared.draft
    intake = take_in(world, store, pipeline.source.folder, scan(source))
    write_run(run, pipeline, intake, prepared, lambda line: None, world)
    stage = pipeline.stages[0]
    for name, lines in Driver(run, make_launcher(LOCAL), world=world).observer.missing_lists(stage).items():
        part = world.stage(store, stage.folder)
        for line in part.lists.write(name, lines)[:-1]:
            path = part.commits.begin(line.id, 1, "n")
            world.filesystem.replace(os.path.join(path, "tasks.jsonl"), b"{}\n")
            stats = ShardStats(shard=line.id, nonce="n", weight_out=1.0, tasks_in=1, tasks_out=1, passed=1)
            part.commits.commit(path, stats)


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
        print(f"hpcurate status             {best([python, '-m', 'hpcurate', 'status', '--store', root]):.3f} s")
        print(
            f"hpcurate status --json      {best([python, '-m', 'hpcurate', 'status', '--json', '--store', root]):.3f} s"
        )


if __name__ == "__main__":
    main()
