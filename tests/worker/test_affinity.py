"""CPU affinity: stage processes are pinned to disjoint cores of their worker, where it has cores of its own."""

from __future__ import annotations

import json
import os

import pytest
from shell import Shell

from hpcurate.system.processes import share_of_cores

TELL = (
    "import os, time\nfrom hpcurate import Stage\nfrom stages.hello import HelloTask\n\n\n"
    "class Tell(Stage[HelloTask, HelloTask]):\n"
    "    def setup(self, worker):\n        self.cores = worker.cores\n\n"
    "    def process(self, tasks):\n"
    "        time.sleep(0.3)\n"
    "        for task in tasks:\n            task.prompt = f'{sorted(os.sched_getaffinity(0))} {list(self.cores)}'\n"
    "        return tasks\n"
)

MEET = """
        open(f"MET/{os.getpid()}", "w").close()
        for _ in range(300):
            if len(os.listdir("MET")) < 2:
                time.sleep(0.1)
"""
"""Until two processes are at work, or half a minute is over."""

SHARES = [
    ((0, 1, 2, 3), 0, 2, 2, (0, 1)),
    ((0, 1, 2, 3), 1, 2, 2, (2, 3)),
    ((5, 3, 9), 2, 3, 1, (9,)),
    ((0, 1, 2), 0, 2, 2, ()),
    ((0, 1), 0, 1, 0, ()),
    ((), 0, 1, 1, ()),
]


@pytest.mark.parametrize(("cores", "process", "processes", "each", "share"), SHARES)
def test_shares_are_disjoint_or_none(
    cores: tuple[int, ...], process: int, processes: int, each: int, share: tuple[int, ...]
) -> None:
    """Too few cores for all: nobody is pinned."""
    assert share == share_of_cores(cores, process, processes, each)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_local_workers_are_pinned_to_cores_of_their_own(shell: Shell) -> None:
    """Two workers of one core: each stage process sees its one core, and the other one the other."""
    (met := shell.cwd / "met").mkdir()
    (shell.cwd / "tell.py").write_text(TELL.replace("        time.sleep(0.3)\n", MEET[1:].replace("MET", str(met))))
    words = [
        "stages.tell.file=tell.py",
        "stages.tell.shard_tasks=1",
        "source.prompts=[a,b,c,d]",
        "stages.tell.workers=2",
    ]
    shell.run("+pipeline=words", *words, "stages.tell.resources.memory=100MB")
    said = {json.loads(row)["prompt"] for row in shell.rows("tell")}
    assert all(line.split("] ")[0] + "]" == line.split("] ")[1] for line in said)
    assert all(len(json.loads(line.split("] ")[1])) == 1 for line in said)
    assert len(said) == 2


def test_a_stage_that_shares_cores_is_not_pinned(shell: Shell) -> None:
    """Half a core each: the scheduler of the kernel knows better."""
    (shell.cwd / "tell.py").write_text(TELL)
    words = ["stages.tell.file=tell.py", "stages.tell.resources.cpus=0.5", "stages.tell.processes=2"]
    shell.run("+pipeline=words", *words)
    assert all(json.loads(row)["prompt"].endswith("[]") for row in shell.rows("tell"))
