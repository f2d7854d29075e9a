#!/usr/bin/env python3
"""Small records a second, through everything a real run does: `benchmarks/records.py [--records N] [--processes P]`.

Three figures, of the same records on the same disk in the same run:

- *bare loop*: P processes read JSONL shards of 1000, decode, change, encode and write JSONL files; no accounting,
  no claims, nothing flushed. What the format allows.
- *engine, warm*: from the first claim to the last commit of a stage that changes every record, `launcher=local`
  with P workers: claims, lineage of every task, checks, flush, rename.
- *engine, whole call*: the same `hpcurate.run`, with intake of the records, start of the workers and all.

Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench_stages import Caption, Record

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.store.rows import codec

SHARD = 1000
"""Records in one shard."""


def records(count: int) -> list[Record]:
    """The records, the same every time."""
    return [Record(id=f"r{n:08d}", source=f"v{n // 50}.mp4", start_s=n * 0.5, end_s=n * 0.5 + 9) for n in range(count)]


def bare(paths: Sequence[str]) -> None:
    """The loop without an engine."""
    rows = codec(Record)
    for path in paths:
        tasks = Caption().process(rows.decode_lines(Path(path).read_bytes()))
        Path(f"{path}.out").write_bytes(b"".join(rows.encode_lines(tasks)))


def bare_seconds(folder: Path, given: Sequence[Record], processes: int) -> float:
    """Seconds of the bare loop over shards in `folder`, start of its processes included."""
    folder.mkdir()
    paths = []
    for start in range(0, len(given), SHARD):
        paths.append(os.fspath(folder / f"{start:08d}.jsonl"))
        Path(paths[-1]).write_bytes(b"".join(codec(Record).encode_lines(given[start : start + SHARD])))
    began = time.perf_counter()
    with get_context("fork").Pool(processes) as pool:
        pool.map(bare, [paths[k::processes] for k in range(processes)], chunksize=1)
    return time.perf_counter() - began


def engine_seconds(store: Path, given: Sequence[Record], processes: int) -> tuple[float, float]:
    """(first claim to last commit, whole call) of the same work through the engine."""
    options = StageOptions(shard_tasks=SHARD, workers=processes, resources={"cpus": 1, "memory": "500MB", "time": "1h"})
    began = time.perf_counter()
    outcome = hpcurate.run({"caption": Step(Caption(), options)}, given, store=store, launcher="local")
    whole = time.perf_counter() - began
    counts = outcome.summary["stages"]["caption"]
    assert (outcome.state.value, counts["out"]) == ("complete", len(given)), outcome.summary
    claims = [p.stat().st_mtime for p in store.glob("stages/caption-*/claims/*/*")]
    commits = [p.stat().st_ctime for p in store.glob("stages/caption-*/shards/*/[!.]*")]
    return max(commits) - min(claims), whole


def bytes_of_a_record(store: Path) -> float:
    """Mean length of an output row."""
    sizes = [
        json.loads(p.read_bytes())["files"]["tasks.jsonl"] for p in store.glob("stages/caption-*/shards/*/*/stats.json")
    ]
    return sum(sizes) / (len(sizes) * SHARD)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000, help="a multiple of 1000 (default: 300000)")
    parser.add_argument("--processes", type=int, default=2, help="processes, and workers (default: 2)")
    parser.add_argument("--dir", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hpcurate-records-", dir=arguments.dir))
    try:
        report(folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(folder: Path, arguments: Any) -> None:
    """Measure in `folder` and print the table."""
    given = records(arguments.records)
    loop = bare_seconds(folder / "bare", given, arguments.processes)
    warm, whole = engine_seconds(folder / "store", given, arguments.processes)
    size = bytes_of_a_record(folder / "store")
    print(f"{len(given)} records of {size:.0f} bytes, shards of {SHARD}, {arguments.processes} processes\n")
    print("| what | seconds | records a second |\n|---|---|---|")
    for name, took in {"bare loop": loop, "engine, warm": warm, "engine, whole call": whole}.items():
        print(f"| {name} | {took:.2f} | {len(given) / took:,.0f} |")


if __name__ == "__main__":
    main()
