#!/usr/bin/env python3
"""Taking in a large table, by the real command line: `benchmarks/intake.py [--rows N] [--repeat R] [--files F]`.

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

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import msgspec
from bench_stages import Caption, Record
from rounds import Way, table

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
HERE = Path(__file__).resolve().parent


def make(folder: Path, rows: int, files: int) -> list[Path]:
    """The table, the same every time."""
    folder.mkdir()
    paths = [folder / f"{number:04d}.jsonl" for number in range(files)]
    for number, path in enumerate(paths):
        with path.open("w") as file:
            for start in range(rows * number // files, rows * (number + 1) // files, SHARD):
                stop = min(start + SHARD, rows * (number + 1) // files)
                file.write("".join(map(line, range(start, stop))))
    return paths


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


def stat_seconds(paths: Sequence[Path]) -> float:
    """A process that calls stat of each file."""
    began = time.perf_counter()
    code = "import os, sys; [os.stat(path) for path in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True)
    return time.perf_counter() - began


# -- ours ---------------------------------------------------------------------------------------------


class Calls:
    """The same command, again and again, in a project of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.peaks = folder, dict[str, float]()
        (folder / "conf" / "pipeline").mkdir(parents=True)
        (folder / "conf" / "pipeline" / "records.yaml").write_text(PIPELINE)

    def seconds(self, name: str, expected: int) -> float:
        """One call, whole."""
        words = ["+pipeline=records", f"input={self.folder}/data/*.jsonl", f"store={self.folder}/store"]
        environment = dict(os.environ, PYTHONPATH=os.fspath(HERE), PYTHONDONTWRITEBYTECODE="")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "hpcurate", *words, "launcher=local"],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        assert status == 0, said
        assert f"{expected:,} tasks" in said, said
        self.peaks[name] = max(self.peaks.get(name, 0), usage.ru_maxrss / 1024)
        return took


def measure(folder: Path, rows: int, files: int, repeat: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """(name → seconds of each round, name of a call → its peak memory in MB)."""
    took: dict[str, list[float]] = {}
    calls = Calls(folder)
    for _ in range(repeat):
        paths = make(folder / "data", rows, files)
        os.sync()
        time.sleep(4)  # a file that is younger is compared by its content
        ways: dict[str, Callable[[], float]] = {
            "bare loop": lambda paths=paths: bare_seconds(paths, folder / "bare"),
            "first call": lambda: calls.seconds("first call", rows),
            "stat of the files": lambda paths=paths: stat_seconds(paths),
            "the same again": lambda: calls.seconds("the same again", rows),
            "one line appended": lambda path=paths[-1]: appended(calls, path, rows),
        }
        for name, way in ways.items():
            took.setdefault(name, []).append(way())
        shutil.rmtree(folder / "data")
        shutil.rmtree(folder / "store")
        os.sync()
    return took, calls.peaks


def appended(calls: Calls, path: Path, rows: int) -> float:
    """One more row, and the call."""
    with path.open("a") as file:
        file.write(line(rows))
    return calls.seconds("one line appended", rows + 1)


def quick() -> dict[str, float]:
    """Ratios of a small size; higher is better."""
    with tempfile.TemporaryDirectory(prefix="hpcurate-intake-") as folder:
        took, _ = measure(Path(folder), 100_000, 2, 1)
    return {
        "intake: first call, of the bare loop's speed": took["bare loop"][0] / took["first call"][0],
        "intake: again, of the first call's speed": took["first call"][0] / took["the same again"][0],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="in all files together (default: 1000000)")
    parser.add_argument("--files", type=int, default=1, help="files of the table (default: 1)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--dir", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="a small size, ratios only")
    arguments = parser.parse_args()
    if arguments.quick:
        print("\n".join(f"{name}: {ratio:.2f}" for name, ratio in quick().items()))
        return
    folder = Path(tempfile.mkdtemp(prefix="hpcurate-intake-", dir=arguments.dir))
    try:
        took, peaks = measure(folder, arguments.rows, arguments.files, arguments.repeat)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{arguments.rows:,} rows in {arguments.files} files\n")
    print("\n".join(f"peak memory of {name}: {peak:.0f} MB" for name, peak in peaks.items()), end="\n\n")
    ways = [Way(name, tuple(seconds)) for name, seconds in took.items()]
    print(table(ways[:2], "bare loop"))
    print()
    print(table(ways[2:], "stat of the files"))


if __name__ == "__main__":
    main()
