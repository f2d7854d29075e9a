"""Runs with large stages, made fast: `begin` by the real code, and then `make` commits shards by plain writes.

Each other shard has dropped its task for one of three reasons; one in a hundred has a dead letter.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

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
from hpcurate.store.filesystem import Unflushed
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import LeftOut, ShardStats
from hpcurate.world import World
from stages.hello import LowerCase, Print, Prompts

LOCAL = {"_target_": "launchers.local.LocalLauncher"}


def make(root: str, shards: int, *, is_done: Callable[[int], bool] | None = None, index: bool = True) -> Driver:
    """A run with so many shards in its first stage, all committed but the last, or as `is_done` says of each.

    `index`: folders that are full have their index, as a run writes it.
    """
    steps = {"lower_case": Step(LowerCase(), StageOptions(shard_tasks=1)), "show": Step(Print())}
    driver = begin(root, Prompts(tuple(str(number) for number in range(shards))), steps)
    pipeline, observer = driver.frozen.pipeline, driver.observer
    stage = observer.store(pipeline.stages[0].folder)
    done = is_done or (lambda number: number < shards - 1)
    for name, lines in observer.missing_lists(pipeline.stages[0]).items():
        written = stage.lists.write(name, lines)
        commit_all(stage, ((line.id, number) for number, line in enumerate(written) if done(number)))
    if index:
        (view, *_) = observer.look()
        for folder, fan in view.unindexed:
            write_index(observer.store(folder), folder, fan, observer.commits)
    return driver


def begin(root: str, source: Any, steps: Mapping[str, Step]) -> Driver:
    """A run that has taken in its source, and nothing else."""
    request = Request(
        name="bench",
        source=source,
        steps=lambda output: dict(steps),
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
    return Driver(run, make_launcher(LOCAL), world=world)


def commit_all(stage: StageStore, shards: Iterable[tuple[str, int]]) -> None:
    """Shards of one task, which was passed on, dropped or failed; and the claim of each."""
    for shard, number in shards:
        folder, files = stage.folder.shard(shard), _files(shard, number)
        os.mkdir(folder)
        for name, data in files.items():
            _write(f"{folder}/{name}", data)
        _write(stage.folder.claim(shard, 1), b"{}\n")


def _files(shard: str, number: int) -> dict[str, bytes]:
    reason, failed = f"darker than {number % 3}", int(number % 100 == 0)
    dropped = 0 if failed else number % 2
    passed = 1 - dropped - failed
    clip = {"id": f"c{number}", "source": f"v{number}.mp4", "start_s": 0.0, "end_s": 4.0}
    files = {"tasks.jsonl": b"{}\n" * passed}
    if dropped:
        row = DroppedRow(id=clip["id"], input=True, stage="dark", reason=reason, value=0.5, threshold=2.0, task=clip)
        files["dropped.jsonl"] = row.line()
    if failed:
        letter = DeadLetter(id="f", stage="lower_case", error="ValueError", message=f"v{number}.mp4: bad", task=clip)
        files["failed.jsonl"] = letter.line()
    dice = random.Random(number)  # what is measured differs from shard to shard, as it does for real
    seconds, begun = round(dice.uniform(60, 600), 3), round(1.7e9 + dice.uniform(0, 1e5), 3)
    bytes_in, bytes_out = float(dice.randrange(10**7)), float(dice.randrange(10**6))
    stats = ShardStats(
        shard=shard, nonce=f"{dice.getrandbits(32):08x}", attempt=1, worker=f"w-{number % 1000}-2-3",
        weight_out=float(passed), tasks_in=1, tasks_out=passed, passed=passed, dropped=dropped, failed=failed,
        reasons={reason: 1} if dropped else {}, lost={reason: {"seconds": 4.0, "bytes": bytes_in}} if dropped else {},
        amounts_in={"seconds": 12.0, "bytes": bytes_in}, amounts_out={"seconds": 3.5, "bytes": bytes_out}, begun=begun,
        ended=round(begun + seconds, 3), left_out={"shorter than 2 s": LeftOut(1, {"seconds": 0.5})}, seconds=seconds,
        process_seconds=round(0.9 * seconds, 3), cpu_seconds=round(0.95 * seconds, 2),
        peak_memory_mb=round(dice.uniform(200, 400), 1),
        files={name: len(data) for name, data in files.items()},
    )  # fmt: skip
    return {**files, "stats.json": msgspec.json.encode(stats) + b"\n"}


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)
