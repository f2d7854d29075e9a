"""A stage that looks ahead, and what a test has happen meanwhile; run as a program so that processes can be killed.

`python ahead_stages.py STORE WHAT NOTES SHARDS [KEY=VALUE of StageOptions …]`: tasks for so many shards of four batches,
which makes at least 64 smaller ones if there are fewer than that.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs

import hpcurate
from hpcurate import Stage, Task, WorkerInfo
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.planning.pipeline import Timing

PER_SHARD, SHARDS = 8, 50
KILLS = 20


def die() -> None:
    """As a decoder that crashes."""
    os.kill(os.getpid(), signal.SIGSEGV)


def fail() -> None:
    """With an error that no other process could take apart."""
    raise Awkward(13, "thirteen")


def leave() -> None:
    """As a program's main function."""
    sys.exit(3)


class Awkward(Exception):
    """Made from two words, of which it remembers one."""

    def __init__(self, number: int, word: str) -> None:
        super().__init__(word)


ODD: dict[int, Callable[[], object]] = {13: die, 21: fail, 30: leave}
"""What `prepare` does with these values."""
UNSET = 41
"""For this one it needs what `setup` made."""


@attrs.define(kw_only=True)
class Item(Task):
    """What it is, and what `prepare` made of it."""

    value: int
    prepared: str = ""


class Ahead(Stage[Item, Item]):
    """`prepare` and `process` take a few milliseconds each; now and then something happens while it looks ahead."""

    version = 1
    batch_size = 2

    def __init__(self, what: str = "", notes: str = "") -> None:
        self.what, self.notes = what, notes
        self.shard = 0
        self.armed = False
        self.dice = random.Random(os.getpid())

    def setup(self, worker: WorkerInfo) -> None:
        """What a process that only prepares does not have."""
        self.loaded = worker.process

    def prepare(self, task: Item) -> None:
        """Looks ahead if the task is of another shard than the one in work."""
        if self.shard and task.value // PER_SHARD != self.shard - 1:
            self._ahead()
        time.sleep(0.03)
        task.memory.update(made=str(task.value), by=os.getpid())
        if self.what == "odd" and task.value in ODD:
            ODD[task.value]()
        if self.what == "odd" and task.value == UNSET:
            task.memory["loaded"] = self.loaded

    def _ahead(self) -> None:
        if self.what == "kill" and not self.armed and self._note() <= KILLS:
            self.armed = True
            threading.Timer(self.dice.uniform(0, 0.05), os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self.what == "stop" and self._note() == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.what == "look":
            self._note()

    def _note(self) -> int:
        """Write down that it looked ahead; how often that was so."""
        with open(self.notes, "a") as file:
            file.write("x")
            return file.tell()

    def process(self, tasks: list[Item]) -> list[Item]:
        """Each of them was prepared, here."""
        self.shard = tasks[0].value // PER_SHARD + 1
        time.sleep(0.02)
        for task in tasks:
            if self.what == "odd":
                assert task.memory["by"] != os.getpid(), "prepared here"
            task.prepared = task.memory["made"]
        return tasks


def main() -> int:
    """Run, print the summary, leave with the state's exit status."""
    store, what, notes, count, *options = sys.argv[1:]
    shards = int(count)
    needs = {"cpus": 2, "memory": "200MB", "time": "5m"}
    shape = {"shard_tasks": PER_SHARD, "workers": 1, "processes": 2, "resources": needs}
    shape |= {key: json.loads(value) for key, value in (option.split("=", 1) for option in options)}
    step = Step(Ahead(what, notes), StageOptions(**shape))
    outcome = hpcurate.run(
        {"ahead": step},
        [Item(id=f"i{n:04d}", value=n) for n in range(PER_SHARD * shards)],
        store=Path(store),
        launcher="local",
        wait=True,
        timing=Timing(listing_s=1.0, heartbeat_s=1.0, lease_s=10.0, drain_s=20.0),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(outcome.summary))
    return outcome.state.exit_status


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from ahead_stages import main

    sys.exit(main())
