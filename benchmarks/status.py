"""How long `hpcurate status`, `watch` and `why` take when a stage has 10 000 shards, all but one committed.

    python benchmarks/status.py [SHARDS]

Each other shard has dropped its task for one of three reasons, each left something out; one in a hundred has a dead
letter. The folders that are full have their index, as a run writes it. Beside that: the bare start of Python, and
listing the same folders with os.scandir. Warm page cache, best of five.

`for_real`, which `benchmarks/scale.py --disk` calls, is for stages of another size: seconds, memory and what is opened,
also of a gate's look and of the list of the next stage, and with 70 % of the shards committed in no order.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

import attrs
from big_store import LOCAL, make

from hpcurate.runs.driver import Driver
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import make_launcher
from hpcurate.store.filesystem import PosixFilesystem
from hpcurate.store.layout import Store
from hpcurate.world import World

VERBS = ("status", "status --json", "watch --once", "why", "why --json")
LIST = "import os, sys; print(sum(1 for b in os.scandir(sys.argv[1]) for f in os.scandir(b.path)))"


@attrs.define(frozen=True)
class Took:
    """What a command took."""

    seconds: float
    mb: float
    """Of memory at most."""


def took(command: Sequence[str]) -> Took:
    """One run of it, in a process of its own."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return Took(time.perf_counter() - started, usage.ru_maxrss / 1024)


def best(command: Sequence[str], times: int = 5) -> float:
    """Seconds of the fastest of some runs."""
    return min(took(command).seconds for _ in range(times))


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
        for verb in VERBS[::2]:
            one = took([sys.executable, "-m", "hpcurate", *verb.split(), "--store", store])
            print(f"| {shards}, {name} | `hpcurate {verb}` | {one.seconds:.2f} | {one.mb:.0f} |", flush=True)
        command = [sys.executable, __file__, "--look", store]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"| {shards}, {name} | a gate's look | {found} | |", flush=True)


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--look"]:
        print(look(sys.argv[2]))
        return
    shards = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as root:
        make(root, shards)
        (folder,) = (e.path for e in os.scandir(f"{root}/stages") if e.name.startswith("lower_case"))
        python = sys.executable
        print(f"{shards} shards, {shards - 1} committed")
        print(f"python -c pass              {best([python, '-c', 'pass']):.3f} s")
        print(f"listing the shards          {best([python, '-c', LIST, folder + '/shards']):.3f} s")
        for verb in VERBS:
            command = [python, "-m", "hpcurate", *verb.split(), "--store", root]
            print(f"hpcurate {verb:<18} {best(command):.3f} s")


if __name__ == "__main__":
    main()
