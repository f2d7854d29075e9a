#!/usr/bin/env python3
"""Taking in a large table, by the real command line: `benchmarks/intake.py [--rows N]`.

Rows of JSONL, 76 bytes each, in F files; the stage is the one of `records.py`, which changes every row. In each round:

- *bare loop*: as many processes as the call uses read the files in pieces, decode the rows with msgspec, encode and
  write them in files of 1000; then they do the stage's work of these files, and write them once more. No accounting, no
  claims, nothing flushed.
- *first call*: `hpcurate +pipeline=…` in an empty store, whole, with the stage.
- *stat of the files*, in a process of its own, beside *the same again*, whole, which finds nothing new.
- *one line appended*, then the same call, whole.

What is not equal: a call starts an interpreter and imports, checks ids, compares, writes lists, waits for its workers,
and all that it says is durable; the bare loop leaves its rows to the page cache. Prints peak memory of each call, too.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
from bench_stages import Caption, Record
from rounds import ENVIRONMENT, Command, Way, in_turns, parser, ratios, scratch, table

PIPELINE = """# @package _global_
name: records
source:
  _target_: hpcurate.source.Jsonl
  path: ${input}
  task: bench_stages.Record
stages:
  caption:
    _target_: bench_stages.Caption
    shard_tasks: 1000
    resources: {cpus: 1, memory: 500MB, time: 1h}
"""
SHARD = 1000
BLOCK = 2**22
YOUNG_S = 4
"""A file that is younger is compared by its content."""
PEER, FIRST, STAT, AGAIN = "bare loop", "first call", "stat of the files", "the same again"
APPENDED = "one line appended"
HERE = Path(__file__).resolve().parent


def make(paths: Sequence[Path], rows: int) -> None:
    """The table, the same every time; all of it is on disk."""
    paths[0].parent.mkdir(exist_ok=True)
    for number, path in enumerate(paths):
        share = range(rows * number // len(paths), rows * (number + 1) // len(paths))
        with path.open("w") as file:
            for start in range(0, len(share), SHARD):
                file.write("".join(map(line, share[start : start + SHARD])))
    os.sync()
    time.sleep(YOUNG_S)


def line(n: int) -> str:
    """One row."""
    return f'{{"id":"r{n:08d}","source":"v{n // 50}.mp4","start_s":{n * 0.5:.1f},"end_s":{n * 0.5 + 9:.1f}}}\n'


# -- the peers ----------------------------------------------------------------------------------------


def bare(path: Path, start: int, end: int, target: Path) -> None:
    """The rows of one piece of a file, as intake and stage would write them."""
    with path.open("rb") as file:
        file.seek(start)
        start and file.readline()
        data = file.read(max(end - file.tell(), 0)) + file.readline()
    decoder, encoder = msgspec.json.Decoder(Record), msgspec.json.Encoder()
    tasks = decoder.decode_lines(data)
    for number in range(0, len(tasks), SHARD):
        shard = target / f"{path.stem}-{start}-{number}.jsonl"
        shard.write_bytes(encoder.encode_lines(tasks[number : number + SHARD]))
        changed = Caption().process(decoder.decode_lines(shard.read_bytes()))
        shard.with_suffix(".out").write_bytes(encoder.encode_lines(changed))


def bare_seconds(paths: Sequence[Path], target: Path) -> float:
    """Seconds of the bare loop, start of its processes included."""
    target.mkdir()
    pieces = [(p, at, at + BLOCK, target) for p in paths for at in range(0, p.stat().st_size, BLOCK)]
    began = time.perf_counter()
    with get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        pool.starmap(bare, pieces, chunksize=1)
    took = time.perf_counter() - began
    shutil.rmtree(target)
    return took


# -- ours ---------------------------------------------------------------------------------------------


def call(folder: Path, before: Callable[[], object] = lambda: None) -> Command:
    """The command, in a project of its own."""
    words = ["+pipeline=records", f"input={folder}/data/*.jsonl", f"store={folder}/store", "launcher=local"]
    environment = {**ENVIRONMENT, "PYTHONPATH": os.fspath(HERE)}
    return Command([sys.executable, "-m", "hpcurate", *words], environment, folder, before)


def append(path: Path, rows: int) -> None:
    """One more row."""
    with path.open("a") as file:
        file.write(line(rows))


def measure(folder: Path, rows: int, files: int, repeat: int) -> tuple[list[Way], list[Way]]:
    """(bare loop and first call, stat and later calls). Each way begins as the one before has left the folder."""
    (folder / "conf" / "pipeline").mkdir(parents=True)
    (folder / "conf" / "pipeline" / "records.yaml").write_text(PIPELINE)
    paths = [folder / "data" / f"{number:04d}.jsonl" for number in range(files)]

    def bare_loop() -> float:
        shutil.rmtree(folder / "store", ignore_errors=True)
        make(paths, rows)
        return bare_seconds(paths, folder / "bare")

    calls = {FIRST: call(folder), AGAIN: call(folder), APPENDED: call(folder, partial(append, paths[-1], rows))}
    stat = Command([sys.executable, "-c", "import os, sys; [os.stat(path) for path in sys.argv[1:]]", *map(str, paths)])
    found = in_turns({PEER: bare_loop, FIRST: calls[FIRST], STAT: stat, **calls}, repeat)
    assert all(f"{rows + (name == APPENDED):,} tasks" in one.output for name, one in calls.items())
    return found[:2], found[2:]


def quick() -> dict[str, float]:
    """Ratios of a small size; higher is better."""
    with scratch() as folder:
        first, later = measure(folder, 100_000, 2, 1)
    speeds = ratios(later, STAT)
    return {
        "first call, of the bare loop's speed": ratios(first, PEER)[FIRST],
        "the same again, of stat's speed": speeds[AGAIN],
        "one line appended, of stat's speed": speeds[APPENDED],
    }


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, quick=quick, folder=True)
    options.add_argument("--rows", type=int, default=1_000_000, help="in all files together (default: 1000000)")
    options.add_argument("--files", type=int, default=1, help="files of the table (default: 1)")
    given = options.parse_args()
    with scratch(given.dir) as folder:
        first, later = measure(folder, given.rows, given.files, given.repeat)
    print(f"{given.rows:,} rows in {given.files} files\n\n{table(first, PEER)}\n\n{table(later, STAT)}")


if __name__ == "__main__":
    main()
