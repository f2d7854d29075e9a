#!/usr/bin/env python3
"""What a run asks of Slurm: `benchmarks/scheduler.py [--shards 1000 10000] [--items 20 --snakemake SNAKEMAKE]`.

Counted, not timed: processes of Slurm's clients (scripts at the front of PATH that write a line and become the real
client, in jobs, too) and requests that the controller received (`sdiag`, without those that come by the clock).

- *hpcurate*: two stages, one after the other, with one task a shard and the same number of workers, `wait=false`: the
  call leaves, two gates move the run on. With 1000 and with more shards; the long run is `--shards 1000 100000`.
- *the call alone*: until it has left: an array and its gate are queued.
- *a cancel*: of two arrays and their gates.
- *Snakemake* with its Slurm executor (PyPI `snakemake`, `snakemake-executor-plugin-slurm`): one job an item, which is
  its way, of `--items` items; beside it hpcurate with as many. Nothing is extrapolated.

What is not equal: Snakemake's program stays until the end and asks how its jobs are (every 40 s at first, as it is
delivered); hpcurate leaves. Each of its jobs makes one file by a shell command; ours is two stages. Needs a Slurm, and
the rights to reset `sdiag`: scripts/dev-slurm up; eval "$(scripts/dev-slurm env)". In its jobs Snakemake forgets
SLURM_CONF: the configuration has to lie where Slurm looks for it by itself. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import attrs
from bench_stages import Sleep, TimedNap
from rounds import parser, scratch
from slurm_calls import counted, requests, reset_requests

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.runs.cancel import cancel
from hpcurate.runs.folder import find_run
from hpcurate.store.layout import Store

PARTITION = "cpu"
MEMORY_MB = 200
SNAKEMAKE_MB = 600
"""Each of its jobs runs Snakemake again, twice."""
IDLE_S = 120.0
"""How long jobs may take to leave the queue."""
SNAKEFILE = """
rule all:
    input: expand("out/{{number}}.txt", number=range({items}))

rule one:
    output: "out/{{number}}.txt"
    shell: "echo {{wildcards.number}} > {{output}}"
"""


@attrs.define(frozen=True)
class Asked:
    """What one way asked of Slurm."""

    name: str
    clients: Counter[str]
    requests: Counter[str]

    def row(self) -> str:
        """Its line of the table: sums, and what they are of."""
        return f"| {self.name} | {self.clients.total()} | {_each(self.clients)} | {self.requests.total()} |"


def _each(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def asked(name: str, work: Callable[[Path], object], end: Callable[[Path], object] = lambda folder: None) -> Asked:
    """Count while `work` is done in a folder of its own; `end` comes after, and is not counted."""
    with scratch() as folder:
        with counted(folder / "clients") as clients:
            reset_requests()
            work(folder)
            found = Asked(name, Counter(call.client for call in clients.calls()), requests())
        end(folder)
        wait_idle()
        return found


def wait_idle() -> None:
    """Return when no job is left; an error if that takes too long."""
    deadline = time.monotonic() + IDLE_S
    while subprocess.run(["squeue", "-h"], check=True, capture_output=True).stdout:
        assert time.monotonic() < deadline, "jobs are left in the queue"
        time.sleep(0.5)


def submitted(
    folder: Path, shards: int, workers: int, *, sleep_s: float = 0.0, abreast: bool = False
) -> hpcurate.Outcome:
    """A run of two stages with so many shards each; the call has left."""
    needs = {"cpus": 1, "memory": f"{MEMORY_MB}MB", "time": "1h"}
    options = StageOptions(shard_tasks=1, workers=workers, resources=needs, after=[] if abreast else None)
    steps = {name: Step(Sleep(), options) for name in ("first", "second")}
    naps = [TimedNap(id=f"s{number:06d}", seconds=sleep_s) for number in range(shards)]
    launcher = {"_target_": "launchers.slurm.SlurmLauncher", "partition": PARTITION}
    return hpcurate.run(steps, naps, store=folder / "store", launcher=launcher, wait=False)


def complete(outcome: hpcurate.Outcome) -> None:
    """Return once a gate has written that the run is complete. Reads one file."""
    summary = Path(outcome.run.path, "summary.json")
    while '"running"' in summary.read_text():
        time.sleep(0.5)
    assert '"complete"' in summary.read_text(), summary.read_text()


def stop(folder: Path) -> None:
    """Whatever runs of the store in this folder."""
    cancel(find_run(Store(str(folder / "store")), None))


def cancelled(workers: int) -> Asked:
    """What a cancel asks, without the run that it cancels."""
    with scratch() as folder:
        run = submitted(folder, workers, workers, sleep_s=60.0, abreast=True).run
        return asked("hpcurate, a cancel of two arrays and their gates", lambda _: cancel(run))


def with_snakemake(program: str, folder: Path, items: int) -> None:
    """Its own program, until its end."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(items=items))
    words = ["--executor", "slurm", "--jobs", str(items), "--latency-wait", "20", "all"]
    resources = ["slurm_account=root", f"slurm_partition={PARTITION}", f"mem_mb={SNAKEMAKE_MB}", "runtime=5"]
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{Path(program).resolve().parent}"}
    done = subprocess.run(
        [program, *words, "--default-resources", *resources],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(list((folder / "out").iterdir())) == items


def measure(given: argparse.Namespace) -> Iterator[Asked]:
    """All ways, one after the other."""
    workers = given.workers
    for shards in given.shards:
        name = f"hpcurate, two stages of {shards} shards"
        yield asked(name, lambda folder, shards=shards: complete(submitted(folder, shards, workers)))
    few = given.shards[0]
    yield asked(f"hpcurate, the call alone, {few} shards", lambda folder: submitted(folder, few, workers), stop)
    yield cancelled(workers)
    if given.snakemake:
        items, program = given.items, given.snakemake
        yield asked(f"hpcurate, {items} items", lambda folder: complete(submitted(folder, items, workers)))
        yield asked(f"Snakemake, {items} items", lambda folder: with_snakemake(program, folder, items))


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    found = parser(__doc__, quick=quick, repeat=0)
    found.add_argument("--shards", type=int, nargs="+", default=[1000, 10_000], help="(default: 1000 10000)")
    found.add_argument("--workers", type=int, default=4, help="of each stage (default: 4)")
    found.add_argument("--items", type=int, default=20, help="of Snakemake, a job each (default: 20)")
    found.add_argument("--snakemake", help="its program; default: without it")
    return found.parse_args(words)


def quick() -> dict[str, float]:
    """Calls with 4 shards, of those with 100: 1 is as it should be."""
    few, many = (ours.clients.total() for ours in islice(measure(options(["--shards", "4", "100"])), 2))
    return {"client calls with few shards, of those with many": few / many}


def main() -> None:
    """Count and print."""
    given = options()
    found = []
    print(f"{given.workers} workers a stage\n")
    print("| way | client calls | of them | requests |\n|---|---|---|---|")
    for one in measure(given):
        print(one.row(), flush=True)
        found.append(one)
    print("\n| way | requests to the controller |\n|---|---|")
    for one in found:
        print(f"| {one.name} | {_each(one.requests)} |")
    if not given.snakemake:
        print("\nSnakemake: not installed; name its program with --snakemake")


if __name__ == "__main__":
    main()
