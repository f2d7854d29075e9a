#!/usr/bin/env python3
"""Uneven work on a real Slurm: `benchmarks/skew.py [--workers W] [--only hpcurate|submitit] [--repeat N]`.

The work: 640 sleeps between milliseconds and 10 s, the same every time. 16 workers, so the ideal is their sum / 16.
What is timed is the whole call, from before the submission to the last result, start of all workers included.

- *hpcurate*: `hpcurate.run` with one sleep a shard, weights known; `wait=True`, then the moment of the last commit.
- *submitit*: its own job array of 16 tasks, each with a static shard: every 16th sleep, in list order.

Needs a Slurm: scripts/dev-slurm up; eval "$(scripts/dev-slurm env)". Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench_stages import Nap, Sleep, skewed_seconds

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions

PARTITION = "cpu"
MEMORY_MB = 200
"""Of one worker, on either side."""


def with_hpcurate(folder: Path, sleeps: Sequence[float], workers: int) -> float:
    """Seconds until the last sleep is committed."""
    needs = {"cpus": 1, "memory": f"{MEMORY_MB}MB", "time": "10m"}
    options = StageOptions(shard_tasks=1, workers=workers, resources=needs)
    naps = [Nap(id=f"s{n:03d}", weight=seconds) for n, seconds in enumerate(sleeps)]
    store = folder / "store"
    began = time.time()
    launcher = {"_target_": "launchers.slurm.SlurmLauncher", "partition": PARTITION}
    outcome = hpcurate.run({"sleep": Step(Sleep(), options)}, naps, store=store, launcher=launcher, wait=True)
    assert outcome.state.value == "complete", outcome.summary
    # our wait looks every two seconds: the last commit is when the work was done
    return max(p.stat().st_ctime for p in store.glob("stages/sleep-*/shards/*/[!.]*")) - began


def sleep_all(seconds: Sequence[float]) -> int:
    """One static shard."""
    for each in seconds:
        time.sleep(each)
    return len(seconds)


def with_submitit(folder: Path, sleeps: Sequence[float], workers: int) -> float:
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


WAYS: dict[str, Callable[[Path, Sequence[float], int], float]] = {
    "hpcurate": with_hpcurate,
    "submitit": with_submitit,
}


def main() -> None:
    """Measure one after the other, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=16, help="(default: 16)")
    parser.add_argument("--only", choices=sorted(WAYS), help="just this one")
    parser.add_argument("--repeat", type=int, default=1, help="times each is run (default: 1)")
    arguments = parser.parse_args()
    sleeps = skewed_seconds()
    ideal = sum(sleeps) / arguments.workers
    print(f"{len(sleeps)} sleeps, {sum(sleeps):.1f} s in all, {arguments.workers} workers, ideal {ideal:.2f} s\n")
    print("| way | seconds | of the ideal |\n|---|---|---|")
    for name in [arguments.only] if arguments.only else WAYS:
        for _ in range(arguments.repeat):
            folder = Path(tempfile.mkdtemp(prefix="hpcurate-skew-"))
            took = WAYS[name](folder, sleeps, arguments.workers)
            print(f"| {name} | {took:.1f} | {ideal / took:.2f} |", flush=True)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
