#!/usr/bin/env python3
"""How little a GPU waits: `benchmarks/inference.py [--repeat N] [--videos FOLDER] …`.

*Fixed service times*: a stage whose `prepare` takes 50 ms a batch and whose `process` takes 50 ms, one stage process.
Both sleep, so that only the engine's own time and order count. Timed from the first claim to the last commit: claims,
rows, and one rename a shard included. Where nothing overlaps that is the sum of both times; where all does, half of it.

*TransNetV2*: the rate at which its frames go through hpcurate, against a bare loop; see `bare_loop.py`.

*SmolLM2*: the tokens a second of its answers, through hpcurate and in a bare loop; see `bare_generate.py`.

Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from bare_generate import bare_generate
from bare_loop import bare_loop
from bench_stages import Nap, Paced

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions

SERVICE_S = 0.05
"""Of `prepare`, and of `process`, for one batch."""


def fixed(folder: Path, batches: int, per_shard: int) -> tuple[float, float]:
    """(seconds from the first claim to the last commit, seconds that `process` waited for `prepare`)."""
    options = StageOptions(shard_tasks=per_shard, workers=1, resources={"cpus": 1, "memory": "200MB", "time": "10m"})
    naps = [Nap(id=f"s{n:04d}", weight=1.0) for n in range(batches)]
    store = folder / "store"
    step = Step(Paced(SERVICE_S, SERVICE_S), options)
    outcome = hpcurate.run({"paced": step}, naps, store=store, launcher="local", wait=True)
    assert outcome.state.value == "complete", outcome.summary
    begun = min(p.stat().st_mtime for p in store.glob("stages/paced-*/claims/*/*.1"))
    ended = max(p.stat().st_ctime for p in store.glob("stages/paced-*/shards/*/[!.]*"))
    return ended - begun, waited(store)


def waited(store: Path) -> float:
    """What the shards say of it."""
    from hpcurate.store.layout import Store
    from hpcurate.world import World

    [folder] = [path.name for path in store.glob("stages/paced-*")]
    commits = World().stage(Store(str(store)), folder).commits
    names = [path.name for path in store.glob("stages/paced-*/shards/*/[!.]*")]
    return sum(commits.stats(name).waiting_seconds for name in names)


def fixed_times(batches: int, repeat: int) -> None:
    """A table."""
    total = 2 * SERVICE_S * batches
    print(f"{batches} batches, {SERVICE_S * 1000:.0f} ms of `prepare` and of `process` each: {total:.1f} s in all\n")
    print("| batches in a shard | seconds | of the sum | `process` waited |\n|---|---|---|---|")
    for per_shard in (1, 2, 4, 16):
        found = []
        for _ in range(repeat):
            folder = Path(tempfile.mkdtemp(prefix="hpcurate-inference-"))
            found.append(fixed(folder, batches, per_shard))
            shutil.rmtree(folder, ignore_errors=True)
        took, idle = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| {per_shard} | {took:.2f} | {took / total:.2f} | {idle:.2f} s |", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=160, help="(default: 160)")
    parser.add_argument("--repeat", type=int, default=3, help="times each is run; the median counts (default: 3)")
    parser.add_argument("--videos", type=Path, help="folder for the bare loop (default: samples are made)")
    parser.add_argument("--prompts", type=int, default=256, help="for the language model (default: 256)")
    parser.add_argument("--tokens", type=int, default=32, help="of an answer at most (default: 32)")
    arguments = parser.parse_args()
    fixed_times(arguments.batches, arguments.repeat)
    print()
    bare_loop(arguments.videos, arguments.repeat)
    print()
    bare_generate(arguments.prompts, arguments.tokens, arguments.repeat)


if __name__ == "__main__":
    main()
