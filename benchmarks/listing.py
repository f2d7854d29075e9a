"""Taking in many small files: seconds and peak memory, beside a bare walk that only calls stat.

    python benchmarks/listing.py [FILES …]      default: 1000 100000

Each line is a process of its own. `first` takes everything in, `again` finds nothing new.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PER_FOLDER = 1000


def make(folder: Path, count: int) -> None:
    """So many small files, a thousand a folder."""
    for start in range(0, count, PER_FOLDER):
        below = folder / f"{start // PER_FOLDER:04d}"
        below.mkdir(parents=True)
        for number in range(start, min(count, start + PER_FOLDER)):
            (below / f"{number:07d}.txt").write_bytes(b"x")


def walk(data: str, store: str) -> int:
    """The peer: `os.walk` and `stat`, sorted, nothing kept but the names."""
    found = sorted(os.path.join(base, name) for base, _, names in os.walk(data) for name in names)
    return sum(os.stat(path).st_size for path in found)


def take_in(data: str, store: str) -> int:
    """What a run does before its first stage."""
    from hpcurate.source import Files, intake, scan
    from hpcurate.store.layout import Store
    from hpcurate.world import World

    found = intake.take_in(World(), Store(store), "source-000000000000", scan.scan(Files(data)))
    return found.tasks


WAYS: dict[str, Callable[[str, str], int]] = {"walk": walk, "first": take_in, "again": take_in}


def one(way: str, data: str, store: str) -> None:
    """Measure one way in this process."""
    started = time.perf_counter()
    result = WAYS[way](data, store)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{result} {time.perf_counter() - started:.2f} {peak:.0f}")


def main() -> None:
    """Print the table."""
    counts = [int(word) for word in sys.argv[1:]] or [1000, 100_000]
    print(f"{'files':>8}  {'way':<6}  {'seconds':>8}  {'peak MB':>8}")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder, "data"), count)
            for way in WAYS:
                words = [sys.executable, __file__, "--one", way, f"{folder}/data", f"{folder}/store"]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                _, seconds, peak = done.stdout.split()
                print(f"{count:>8}  {way:<6}  {seconds:>8}  {peak:>8}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:5])
    else:
        main()
