#!/usr/bin/env python3
"""One small file for each task: `benchmarks/many_files.py --kagurazaka PYTHON`.

Every way writes a file of 100 bytes for each item with two processes, in rounds in turns. What is compared is the
steady rate: the start of each way's processes does not count.

- *hpcurate*: a stage that writes one file a task (`self.file`), `launcher=local`, two workers; from the first claim to
  the last commit. Once with `durability: full`, once with `durability: rename`, each with two sizes of shards.
- *Kagurazaka* (PyPI `kagurazaka`, `--kagurazaka` is a Python that has it; where it has not, its `mp` backbone is done
  again here, call by call: a pool, `imap_unordered`, a look whether the item's output is there, the task): from its
  first file to its last, with `chunksize` 1 and 64.
- *GNU parallel*: a shell process for each item, of `--parallel-items` items, as it is many times slower.
- *bare loop*: two processes that open, write and close; and with a folder for each file, made read-only: what our
  layout asks of the filesystem at least.

What is not equal: hpcurate has a folder for each task, makes every file read-only, flushes them before they are to be
seen (`full`; `rename` does not), writes a row for each task, and can be killed at any moment; the others write plain
files into one folder, flush nothing, and look at what is there to continue.

Nothing is removed before the end: ext4 passes over each inode that was removed in the last minute, or the last five,
when it looks for a free one, so that who comes after a removal pays for it. Wait as long after removing other files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from bench_stages import Page, WriteFile
from rounds import Way, in_turns, parser, rates, ratios, scratch, work_seconds

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions

PEER = "Kagurazaka"
PROCESSES = 2
TEXT = "x" * 100
KAGURAZAKA = '''
import os
from kagurazaka.task.normal import KagurazakaTask

class Write(KagurazakaTask):
    """One small file an item."""

    def __init__(self, args):
        self.folder, self.count = args[0], int(args[1])

    def generate_tasks(self):
        return [{"number": number} for number in range(self.count)]

    def is_executed(self, number):
        return os.path.exists(f"{self.folder}/{number}.txt")

    def process(self, number):
        with open(f"{self.folder}/{number}.txt", "w") as file:
            file.write("x" * 100)
'''


def hpcurate_seconds(folder: Path, items: int, shard: int, durability: str) -> float:
    """From the first claim to the last commit, as the folders' times have them."""
    needs = {"cpus": 1, "memory": "500MB", "time": "1h"}
    options = StageOptions(shard_tasks=shard, workers=PROCESSES, resources=needs)
    pages = [Page(id=f"p{n:06d}") for n in range(items)]
    store = folder / "store"
    steps = {"write": Step(WriteFile(TEXT), options)}
    outcome = hpcurate.run(steps, pages, store=store, launcher="local", durability=durability)
    assert ("complete", items) == (outcome.state.value, outcome.summary["stages"]["write"]["out"]), outcome.summary
    return work_seconds(store, "write")


def written_seconds(folder: Path, items: int) -> float:
    """From the first file in a folder to the last."""
    times = [entry.stat().st_mtime_ns for entry in os.scandir(folder)]
    assert len(times) == items, (len(times), items)
    return (max(times) - min(times)) / 1e9


def kagurazaka_seconds(folder: Path, items: int, python: str, chunksize: int) -> float:
    """Its own program, with a task of ours."""
    (folder / "write.py").write_text(KAGURAZAKA)
    out = folder / "out"
    out.mkdir()
    words = ["-c", "from kagurazaka.main import main; main()", "--backbone", "mp", str(folder / "write.py"), "Write"]
    words += ["--num_process", str(PROCESSES), "--chunksize", str(chunksize), str(out), str(items)]
    subprocess.run([python, *words], check=True, capture_output=True)
    return written_seconds(out, items)


def _execute(folder: str, number: int) -> None:
    path = f"{folder}/{number}.txt"
    if not os.path.exists(path):
        with open(path, "w") as file:
            file.write(TEXT)


def pool_seconds(folder: Path, items: int, chunksize: int) -> float:
    """What its `mp` backbone does, without its program."""
    with get_context("fork").Pool(PROCESSES) as pool:
        for _ in pool.imap_unordered(partial(_execute, str(folder)), range(items), chunksize=chunksize):
            pass
    return written_seconds(folder, items)


def parallel_seconds(folder: Path, items: int) -> float:
    """GNU parallel: a shell for each item."""
    numbers = "\n".join(map(str, range(items)))
    command = ["parallel", "--no-notice", "-j", str(PROCESSES), f"printf %0100d 0 > {folder}/{{}}.txt"]
    subprocess.run(command, input=numbers, text=True, check=True, capture_output=True)
    return written_seconds(folder, items)


def write_one(folder: str, number: int) -> None:
    """A file."""
    with open(f"{folder}/{number}.txt", "w") as file:
        file.write(TEXT)


def write_one_in_a_folder(folder: str, number: int) -> None:
    """A folder and its file, read-only: what lies in a committed shard."""
    os.mkdir(f"{folder}/{number}")
    with open(f"{folder}/{number}/file.txt", "w", opener=_read_only) as file:
        file.write(TEXT)


def _read_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o444)


def _write_all(write: Callable[[str, int], None], folder: str, numbers: range, ready: Barrier) -> None:
    os.mkdir(folder)
    ready.wait()
    for number in numbers:
        write(folder, number)


def bare_seconds(folder: Path, items: int, write: Callable[[str, int], None]) -> float:
    """A loop in each of the processes, each with a folder of its own, once they all have begun."""
    fork = get_context("fork")
    ready = fork.Barrier(PROCESSES + 1)
    loops = [
        fork.Process(target=_write_all, args=(write, f"{folder}/{k}", range(k, items, PROCESSES), ready))
        for k in range(PROCESSES)
    ]
    for loop in loops:
        loop.start()
    ready.wait()
    began = time.perf_counter()
    for loop in loops:
        loop.join()
    assert all(loop.exitcode == 0 for loop in loops)
    return time.perf_counter() - began


def apart(way: Callable[[Path], float], parent: Path) -> float:
    """In a folder of its own, which stays until all is measured, with nothing left to be written by the way before."""
    os.sync()
    return way(Path(tempfile.mkdtemp(dir=parent)))


def ways_of(given: argparse.Namespace) -> tuple[dict[str, Callable[[Path], float]], dict[str, int]]:
    """(what is measured, how many files each way writes: GNU parallel fewer), by name."""
    items, python = given.items, given.kagurazaka
    found: dict[str, Callable[[Path], float]] = {}
    for chunksize in (1, 64):
        name = f"{PEER}, chunksize {chunksize}" + ("" if python else " (its loop, done again)")
        way = partial(kagurazaka_seconds, python=python) if python else pool_seconds
        found[name] = partial(way, items=items, chunksize=chunksize)
    for durability in given.durability:
        for shard in given.shards:
            name = f"hpcurate, {durability}, {shard} tasks a shard"
            found[name] = partial(hpcurate_seconds, items=items, shard=shard, durability=durability)
    found["bare loop, one folder"] = partial(bare_seconds, items=items, write=write_one)
    found["bare loop, a folder for each, read-only"] = partial(bare_seconds, items=items, write=write_one_in_a_folder)
    counts = dict.fromkeys(found, items)
    if given.parallel_items and shutil.which("parallel"):
        name = f"GNU parallel, {given.parallel_items} items"
        found[name], counts[name] = partial(parallel_seconds, items=given.parallel_items), given.parallel_items
    return found, counts


def measure(given: argparse.Namespace) -> tuple[list[Way], dict[str, int], str]:
    """(ways, files of each, name of the peer at its best)."""
    ways, counts = ways_of(given)
    with scratch(given.dir) as folder:
        took = in_turns({name: partial(apart, way, folder) for name, way in ways.items()}, given.repeat)
    best = min((way for way in took if way.name.startswith(PEER)), key=lambda way: way.median)
    return took, counts, best.name


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    found = parser(__doc__, quick=quick, folder=True)
    found.add_argument("--items", type=int, default=10_000, help="files (default: 10000; the long run: 100000)")
    found.add_argument("--shards", type=int, nargs="+", default=[100, 1000], help="tasks a shard (default: 100 1000)")
    found.add_argument("--durability", nargs="+", default=["full"], help="of ours: full, rename (default: full)")
    found.add_argument("--kagurazaka", help="a Python with the package kagurazaka (default: its loop, done again)")
    found.add_argument("--parallel-items", type=int, default=500, help="of GNU parallel; 0: without it (default: 500)")
    return found.parse_args(words)


def quick() -> dict[str, float]:
    """Ours, of Kagurazaka's best."""
    ways, _, best = measure(options(["--items", "4000", "--shards", "1000", "--parallel-items", "0", "--repeat", "2"]))
    [ours] = (ratio for name, ratio in ratios(ways, best).items() if name.startswith("hpcurate"))
    return {"files a second, of Kagurazaka's best": ours}


def main() -> None:
    """Measure and print."""
    given = options()
    ways, counts, best = measure(given)
    print(f"{given.items} files of {len(TEXT)} bytes, {PROCESSES} processes; the peer is {best}\n")
    print(rates(ways, best, "files", counts))


if __name__ == "__main__":
    main()
