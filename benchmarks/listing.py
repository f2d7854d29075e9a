"""Taking in many small files, beside a bare walk that only calls stat: `benchmarks/listing.py [--files 1000 100000]`.

Whole processes, in turns; warm page cache:

- *walk*, the peer: `os.walk` and `stat`, sorted, nothing kept but the names.
- *first*: what a run does before its first stage, in an empty store.
- *again*: the same, which finds nothing new.

Not equal: ours imports its modules, gives each file an id, and writes and commits the list.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from rounds import Command, Way, in_turns, parser, scratch, table

PER_FOLDER = 1000
WALK = """import os, sys
found = sorted(os.path.join(base, name) for base, _, names in os.walk(sys.argv[1]) for name in names)
sum(os.stat(path).st_size for path in found)
"""
TAKE_IN = """import sys
from hpcurate.source import Files, intake, scan
from hpcurate.store.layout import Store
from hpcurate.world import World
intake.take_in(World(), Store(sys.argv[2]), "source-000000000000", scan.scan(Files(sys.argv[1])))
"""


def make(folder: Path, count: int) -> None:
    """So many small files, a thousand a folder."""
    for start in range(0, count, PER_FOLDER):
        below = folder / f"{start // PER_FOLDER:04d}"
        below.mkdir(parents=True)
        for number in range(start, min(count, start + PER_FOLDER)):
            (below / f"{number:07d}.txt").write_bytes(b"x")


def measured(folder: Path, count: int, repeat: int) -> list[Way]:
    """With so many files."""
    data, store = folder / "data", folder / "store"
    make(data, count)
    take_in = [sys.executable, "-c", TAKE_IN, str(data), str(store)]
    ways = {
        "walk": Command([sys.executable, "-c", WALK, str(data)]),
        "first": Command(take_in, before=partial(shutil.rmtree, store, ignore_errors=True)),
        "again": Command(take_in),
    }
    ways["walk"]()  # fills the caches, and does not count
    return in_turns(ways, repeat)


def main() -> None:
    """Print a table for each number of files."""
    options = parser(__doc__, folder=True)
    options.add_argument("--files", type=int, nargs="+", default=[1000, 100_000], help="(default: 1000 100000)")
    given = options.parse_args()
    for count in given.files:
        with scratch(given.dir) as folder:
            print(f"{count} files\n\n{table(measured(folder, count, given.repeat), 'walk')}\n", flush=True)


if __name__ == "__main__":
    main()
