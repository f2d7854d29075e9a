"""A supervisor's part in small: one stage process runs two shards; a line of JSON for each.

`python hosted.py FOLDER forked|spawned WHAT NOTES [OPTIONS]`: WHAT is what `Odd` does at the second task of the first
shard; OPTIONS, as JSON, change the job or the stage; with `argv` among them it is that command instead.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])

from engine_stages import Number
from process_stages import Odd

from hpcurate.command import Command
from hpcurate.planning.build import Step, build
from hpcurate.planning.options import StageOptions
from hpcurate.planning.plan import Plan
from hpcurate.source import Items
from hpcurate.stage import Stage, WorkerInfo
from hpcurate.stage_process.messages import ShardJob
from hpcurate.store.rows import codec
from hpcurate.worker.hosts import SetupFailed, ShardEnded, StageHost
from hpcurate.worker.hosts.spawned import ProcessHosts
from hpcurate.worker.node_staging import NodeStaging

OPTIONS = json.loads(sys.argv[5] if len(sys.argv) > 5 else "{}")
ARGV = OPTIONS.pop("argv", None)
OF_STAGE = {name: OPTIONS.pop(name) for name in ("prepare", "setup_timeout") if name in OPTIONS}


def tell(**words: Any) -> None:
    """One line."""
    print(json.dumps(words), flush=True)


def job(folder: Path, shard: str, values: range) -> ShardJob:
    """A shard of these numbers."""
    (folder / shard).mkdir(parents=True)
    rows = folder / f"{shard}.jsonl"
    rows.write_bytes(b"".join(codec(Number).encode_lines([Number(id=f"n{value}", value=value) for value in values])))
    return ShardJob(
        shard=shard, directory=str(folder / shard), ref=shard, root=str(folder), inputs=[(str(rows), 0, len(values))],
        batch_size=1, isolate=True, **OPTIONS,
    )  # fmt: skip


def run(host: StageHost, shard: ShardJob) -> None:
    """Run it and tell how it ended."""
    try:
        done = host.run(shard)
        tell(passed=done.counts.passed, failed=done.counts.failed)
    except ShardEnded as ended:
        more = {"peak_mb": ended.peak_mb} if ended.peak_mb else {"seconds": ended.seconds} if ended.seconds else {}
        tell(ending=ended.ending.value, detail=ended.detail, in_flight=ended.in_flight, **more)


def main() -> None:
    """Both shards, unless the stage cannot be set up."""
    folder, kind, what, notes = Path(sys.argv[1]), *sys.argv[2:5]
    stage: Stage[Any, Any] = Command(ARGV) if ARGV else Odd(what, notes)
    pipeline = build("p", Items((Number(id="n", value=1),)), {"odd": Step(stage, StageOptions(**OF_STAGE))})
    plan = Plan(stage=pipeline.stages[0], run="r", store=str(folder), lists=(), round=1, workers=1)
    info = WorkerInfo(index=0, process=0, cpus=1)
    hosts = ProcessHosts()
    if kind == "forked":
        hosts.prepare(plan, [info])
    place = NodeStaging.in_place(plan, str(folder), "a test", print).stage()
    host = hosts.host(plan, info, place, lambda line: print(line, file=sys.stderr, flush=True))
    try:
        host.start()
    except SetupFailed as error:
        tell(setup=str(error))
    else:
        run(host, job(folder, "first", range(1, 4)))
        run(host, job(folder, "second", range(4, 6)))
    finally:
        host.close()
    hosts.close()


if __name__ == "__main__":
    main()
