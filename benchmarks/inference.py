#!/usr/bin/env python3
"""How little a GPU waits: `benchmarks/inference.py [--videos FOLDER]`.

*Fixed service times*: a stage whose `prepare` takes 50 ms a batch and whose `process` takes 50 ms, one stage process.
Both sleep, so that only the engine's own time and order count. Timed from the first claim to the last commit: claims,
rows, and one rename a shard included. Where nothing overlaps that is the sum of both times; where all does, half of it.

*TransNetV2*: the rate at which its frames go through hpcurate, against a bare loop; see `bare_loop.py`.

*SmolLM2*: the tokens a second of its answers, through hpcurate and in a bare loop; see `bare_generate.py`.

Prints Markdown tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from bare_generate import bare_generate
from bare_loop import bare_loop
from bench_stages import Nap, Paced
from rounds import in_a_folder, in_turns, parser, table, work_seconds

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.store.layout import Store
from hpcurate.world import World

SERVICE_S = 0.05
"""Of `prepare`, and of `process`, for one batch."""
PER_SHARD = (1, 2, 4, 16)
SUM = "sum of both times"


def fixed(batches: int, per_shard: int, idle: list[float], folder: Path) -> float:
    """Seconds from the first claim to the last commit; those that `process` waited are added to `idle`."""
    options = StageOptions(shard_tasks=per_shard, workers=1, resources={"cpus": 1, "memory": "200MB", "time": "10m"})
    naps = [Nap(id=f"s{n:04d}", weight=1.0) for n in range(batches)]
    step = Step(Paced(SERVICE_S, SERVICE_S), options)
    outcome = hpcurate.run({"paced": step}, naps, store=folder, launcher="local", wait=True)
    assert outcome.state.value == "complete", outcome.summary
    idle.append(waited(folder))
    return work_seconds(folder, "paced")


def waited(store: Path) -> float:
    """What the shards say of it."""
    [folder] = [path.name for path in store.glob("stages/paced-*")]
    commits = World().stage(Store(str(store)), folder).commits
    names = [path.name for path in store.glob("stages/paced-*/shards/*/[!.]*")]
    return sum(commits.stats(name).waiting_seconds for name in names)


def fixed_times(batches: int, repeat: int) -> None:
    """A table; the peer is the sum of both times, which nothing overlapped would take."""
    total = 2 * SERVICE_S * batches
    print(f"{batches} batches, {SERVICE_S * 1000:.0f} ms of `prepare` and of `process` each\n")
    idle: dict[str, list[float]] = {f"{count} batches in a shard": [] for count in PER_SHARD}
    ways: dict[str, Callable[[], float]] = {SUM: lambda: total}
    for count, (name, seconds) in zip(PER_SHARD, idle.items(), strict=True):
        ways[name] = partial(in_a_folder, partial(fixed, batches, count, seconds))
    print(table(in_turns(ways, repeat), SUM) + "\n")
    for name, seconds in idle.items():
        print(f"- {name}: `process` waited {median(seconds):.2f} s")


def main() -> None:
    """Measure, and print."""
    options = parser(__doc__)
    options.add_argument("--batches", type=int, default=160, help="(default: 160)")
    options.add_argument("--videos", type=Path, help="folder for the bare loop (default: samples are made)")
    options.add_argument("--prompts", type=int, default=256, help="for the language model (default: 256)")
    options.add_argument("--tokens", type=int, default=32, help="of an answer at most (default: 32)")
    arguments = options.parse_args()
    fixed_times(arguments.batches, arguments.repeat)
    print()
    bare_loop(arguments.videos, arguments.repeat)
    print()
    bare_generate(arguments.prompts, arguments.tokens, arguments.repeat)


if __name__ == "__main__":
    main()
