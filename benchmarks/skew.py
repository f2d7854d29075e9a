#!/usr/bin/env python3
"""Uneven work on a real Slurm: `benchmarks/skew.py`.

The work: 640 sleeps between milliseconds and 10 s, the same every time. 16 workers, so the ideal is their sum / 16.
What is timed is the whole call, from before the submission to the last result, start of all workers included.

- *hpcurate, weights known*: `hpcurate.run` with one sleep a shard; `wait=True`, then the moment of the last commit.
- *hpcurate, weights unknown*: the same, and every task weighs 1, so that they are taken as they come.
- *submitit*: its own job array of 16 tasks, each with a static shard: every 16th sleep, in list order.

Not equal: hpcurate commits each sleep separately, submitit keeps 16 results in memory until the end.

Beside the ideal stands what is possible without any cost where nobody knows how long a sleep takes: whoever is idle
takes the next one, and at the end the others wait for a long one that came late. That depends on the order, so it is
computed for the order in which hpcurate's workers take them, and for 1000 random ones.

Needs a Slurm: scripts/dev-slurm up; eval "$(scripts/dev-slurm env)". `--quick` needs none: 80 short sleeps with eight
workers on this machine. Prints a Markdown table.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench_stages import Sleep, TimedNap, skewed_seconds
from rounds import in_a_folder, in_turns, last_commit, parser, table

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.store.lists import ShardLine
from hpcurate.worker.picker import order_of_trial

PARTITION = "cpu"
MEMORY_MB = 200
"""Of one worker, on either side."""
KNOWN, UNKNOWN, SUBMITIT = "hpcurate, weights known", "hpcurate, weights unknown", "submitit"
SLURM = {"_target_": "launchers.slurm.SlurmLauncher", "partition": PARTITION}


def with_hpcurate(
    sleeps: Sequence[float], workers: int, folder: Path, *, known: bool, launcher: Any = SLURM, cpus: float = 1
) -> float:
    """Seconds until the last sleep is committed."""
    needs = {"cpus": cpus, "memory": f"{MEMORY_MB}MB", "time": "10m"}
    options = StageOptions(shard_tasks=1, workers=workers, resources=needs)
    naps = [
        TimedNap(id=f"s{n:03d}", weight=seconds if known else 1.0, seconds=seconds) for n, seconds in enumerate(sleeps)
    ]
    store = folder / "store"
    began = time.time()
    outcome = hpcurate.run({"sleep": Step(Sleep(), options)}, naps, store=store, launcher=launcher, wait=True)
    assert outcome.state.value == "complete", outcome.summary
    # our wait looks every two seconds: the last commit is when the work was done
    return last_commit(store, "sleep") - began


def sleep_all(seconds: Sequence[float]) -> int:
    """One static shard."""
    for each in seconds:
        time.sleep(each)
    return len(seconds)


def with_submitit(sleeps: Sequence[float], workers: int, folder: Path) -> float:
    """Seconds until the last array task has ended its sleeps, by the modification time of its result."""
    import submitit

    executor = submitit.SlurmExecutor(folder=folder / "submitit")
    executor.update_parameters(
        partition=PARTITION, time=10, mem=f"{MEMORY_MB}M", cpus_per_task=1, array_parallelism=workers, use_srun=False
    )
    began = time.time()
    jobs = executor.map_array(sleep_all, [list(sleeps[k::workers]) for k in range(workers)])
    assert sum(job.result() for job in jobs) == len(sleeps)
    return max(job.paths.result_pickle.stat().st_mtime for job in jobs) - began


# -- what is possible -------------------------------------------------------------------------------------


def least_seconds(sleeps: Sequence[float], workers: int) -> float:
    """Until the last sleep has ended, where each worker takes the next of them as a picker does, at no cost. Pure."""
    lines = [ShardLine(f"s{n:06d}", 1.0, 1, ()) for n in range(len(sleeps))]
    orders = [iter([int(line.id[1:]) for line in order_of_trial(lines, k, workers)]) for k in range(workers)]
    left, idle, end = set(range(len(sleeps))), [(0.0, k) for k in range(workers)], 0.0
    while left:
        now, worker = heapq.heappop(idle)
        mine = next((n for n in orders[worker] if n in left), None)
        if mine is not None:
            left.remove(mine)
            heapq.heappush(idle, (now + sleeps[mine], worker))
            end = max(end, now + sleeps[mine])
    return end


def limits(sleeps: Sequence[float], workers: int) -> str:
    """What is left of the ideal where the weights are not known, in words."""
    ideal, chance = sum(sleeps) / workers, random.Random(1)
    found = [least_seconds(chance.sample(sleeps, len(sleeps)), workers) for _ in range(1000)]
    this = least_seconds(sleeps, workers)
    return (
        f"Without weights and without any cost: {this:.2f} s in this order, {ideal / this:.2f} of the ideal; in 1000 "
        f"random orders {ideal / max(found):.2f} to {ideal / min(found):.2f}, median {ideal / median(found):.2f}"
    )


# -- printing ---------------------------------------------------------------------------------------------


def quick() -> dict[str, float]:
    """Of the ideal, with eight workers on this machine: name → value, higher is better."""
    sleeps, workers = skewed_seconds(count=80, total=40.0, longest=2.0), 8
    here = partial(with_hpcurate, sleeps, workers, launcher="local", cpus=0.1)
    ideal = sum(sleeps) / workers
    return {
        "skew, weights known, of the ideal": ideal / in_a_folder(partial(here, known=True)),
        "skew, weights unknown, of the possible": least_seconds(sleeps, workers)
        / in_a_folder(partial(here, known=False)),
    }


def main() -> None:
    """Measure in turns, and print."""
    options = parser(__doc__, quick=quick, folder=True)
    options.add_argument("--workers", type=int, default=16, help="(default: 16)")
    options.add_argument("--only", nargs="+", choices=(KNOWN, UNKNOWN, SUBMITIT), help="just these")
    options.add_argument("--scale", type=float, default=1.0, help="of all sleeps, e.g. 0.25 (default: 1)")
    arguments = options.parse_args()
    sleeps, workers = [each * arguments.scale for each in skewed_seconds()], arguments.workers
    ideal = sum(sleeps) / workers
    print(f"{len(sleeps)} sleeps, {sum(sleeps):.1f} s in all, {workers} workers, ideal {ideal:.2f} s")
    print(limits(sleeps, workers))
    ways: dict[str, Callable[[Path], float]] = {
        SUBMITIT: partial(with_submitit, sleeps, workers),
        KNOWN: partial(with_hpcurate, sleeps, workers, known=True),
        UNKNOWN: partial(with_hpcurate, sleeps, workers, known=False),
    }
    chosen = arguments.only or list(ways)
    found = in_turns({name: partial(in_a_folder, ways[name], arguments.dir) for name in chosen}, arguments.repeat)
    print("\n" + table(found, peer=SUBMITIT if SUBMITIT in chosen else chosen[0]) + "\n")
    for way in found:
        rounds = ", ".join(f"{ideal / one:.3f}" for one in way.seconds)
        print(f"- {way.name}: {ideal / way.median:.3f} of the ideal ({rounds})")


if __name__ == "__main__":
    main()
