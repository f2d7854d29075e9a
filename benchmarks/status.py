"""How long looks at a large run take, beside a bare listing of its shards: `benchmarks/status.py [--shards 10000]`.

A stage of so many shards, all but one committed. Each other shard has dropped its task for one of three reasons, each
left something out; one in a hundred has a dead letter. The folders that are full have their index, as a run writes it.
Whole processes, in turns; warm page cache. Not equal: the peer, *listing the shards* by os.scandir, reads none of them.

`for_real`, which `benchmarks/scale.py --disk` calls, is for stages of another size: seconds, memory and what is opened,
also of a gate's look and of the list of the next stage, and with 70 % of the shards committed in no order.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from big_store import LOCAL, make
from rounds import Command, Way, in_turns, parser, scratch, table

from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.runs.state import RunState
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.world import World

VERBS = ("status", "status --json", "watch --once", "why", "why --json")
LISTING = "listing the shards"
LIST = "import os, sys; print(sum(1 for b in os.scandir(sys.argv[1]) for f in os.scandir(b.path)))"


def verb(words: str, store: str) -> Command:
    """One of ours."""
    command = [sys.executable, "-m", "hpcurate", *words.split(), "--store", store]
    return Command(command, statuses=(0, RunState.INCOMPLETE.exit_status))


def measured(store: str, repeat: int) -> list[Way]:
    """Each verb in turns with the peers, once the caches are full."""
    (shards,) = Path(store).glob("stages/lower_case-*/shards")
    ways = {
        "`python -c pass`": Command([sys.executable, "-c", "pass"]),
        LISTING: Command([sys.executable, "-c", LIST, os.fspath(shards)]),
        **{f"`hpcurate {words}`": verb(words, store) for words in VERBS},
    }
    in_turns(ways, 1)
    return in_turns(ways, repeat)


class Counting(PosixFilesystem):
    """Counts what a look asks for."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def names(self, folder: str) -> list[str]:
        """See `Filesystem`."""
        self.calls["listings"] += 1
        return super().names(folder)

    def read(self, path: str) -> bytes:
        """See `Filesystem`."""
        self.calls["stats.json" if path.endswith("stats.json") else "other files"] += 1
        return super().read(path)


def look(root: str) -> str:
    """What a gate's look takes, in this process; then the list of the next stage, if the first one is complete."""
    store, filesystem = Store.at(root), Counting()
    (name,) = (entry.name for entry in os.scandir(store.runs) if entry.name[0] != "." and not entry.is_symlink())
    driver, begun = (
        Driver(Run(store, name), make_launcher(LOCAL), world=World(filesystem=filesystem)),
        time.perf_counter(),
    )
    driver.look()
    first = time.perf_counter()
    driver.look()
    second, text = time.perf_counter(), ""
    if driver.observer.look()[0].complete:
        again = time.perf_counter()
        driver.observer.missing_lists(driver.frozen.pipeline.stages[1])
        text = f", the next stage's list {time.perf_counter() - again:.2f} s"
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    calls = ", ".join(f"{count} {what}" for what, count in sorted(filesystem.calls.items()))
    return f"{first - begun:.2f} s, the next look {second - first:.2f} s{text}; {mb:.0f} MB; {calls}"


def for_real(root: str, shards: int) -> None:
    """Print what looks at stages of so many shards take."""
    dice = random.Random(1)
    states = {
        "all committed": lambda number: True,
        "70 % committed, in no order": lambda number: dice.random() < 0.7,
    }
    print("| shards | what | seconds | MB |\n|---|---|---|---|")
    for number, (name, is_done) in enumerate(states.items()):
        store = f"{root}/{number}"
        make(store, shards, is_done=is_done, index=not number)
        for words in VERBS[::2]:
            command = verb(words, store)
            print(f"| {shards}, {name} | `hpcurate {words}` | {command():.2f} | {command.mb:.0f} |", flush=True)
        looking = Command([sys.executable, __file__, "--look", store])
        looking()
        print(f"| {shards}, {name} | a gate's look | {looking.output.strip()} | |", flush=True)


def main() -> None:
    """Print the table."""
    options = parser(__doc__, folder=True)
    options.add_argument("--shards", type=int, default=10_000, help="of the stage (default: 10000)")
    options.add_argument("--look", metavar="STORE", help="a gate's look at this store, once, in this process")
    given = options.parse_args()
    if given.look:
        print(look(given.look))
        return
    with scratch(given.dir) as folder:
        make(os.fspath(folder), given.shards)
        print(f"{given.shards} shards, {given.shards - 1} committed\n")
        print(table(measured(os.fspath(folder), given.repeat), LISTING))


if __name__ == "__main__":
    main()
