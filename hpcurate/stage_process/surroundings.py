"""What stands around a program beside its files: the checkpoint of its task, its curves, the nodes it runs on. 3.9."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Optional

import msgspec

from hpcurate.errors import StageError
from hpcurate.masks import mask
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.several_nodes import free_port, head_node, how_it_ended, in_folder, step
from hpcurate.store.curves import METRICS, numbered, read_curves

SURROUNDINGS = {
    "checkpoint": "a folder that outlives attempts, where it keeps what it has reached",
    "metrics": "a file to which it adds lines of JSON, one for each value of a curve",
    "nodes": "nodes that it runs on",
    "head_node": "the first of them, as the others reach it; localhost if it is the only one",
    "port": "a port that is free there",
}
"""Placeholders: each with what stands for it."""
Log = Callable[[str, Any, Optional[int]], None]


class Surroundings(msgspec.Struct):
    """Of one run of a program."""

    values: dict[str, str]
    """What stands for the placeholders."""
    nodes: int
    cpus: int

    def argv(self, argv: Sequence[str], folder: str) -> list[str]:
        """The words that start the program: on one node they are its own."""
        return [*self.before, *in_folder(folder, argv)] if self.nodes > 1 else list(argv)

    @property
    def before(self) -> list[str]:
        """What stands before it, as a person would type it."""
        return step(self.nodes, self.cpus) if self.nodes > 1 else []

    def judged(self, code: int, end: str) -> tuple[int, int, str]:
        """(exit code, or else the signal, the end of its output). Raises MemoryError where a node had not enough."""
        if self.nodes == 1:
            return code, 0, end
        code, signal, memory = how_it_ended(code, end)
        if memory:
            raise MemoryError("Slurm killed a rank, as there was not enough main memory on its node")
        return code, signal, end

    def keep_curves(self, log: Log) -> None:
        """What the program wrote to `{metrics}` becomes results of the stage."""
        path = self.values.get("metrics")
        if path is None:
            return
        curves = read_curves(path)
        for name, value, at in numbered(curves):
            log(name, value, at)
        if curves.bad:
            print(mask(f"{{metrics}}: {curves.bad} lines are left out; {curves.first_bad}"), flush=True)


@contextmanager
def surroundings(
    names: Collection[str], worker: WorkerInfo, folder: str, checkpoint: Callable[[], str]
) -> Iterator[Surroundings]:
    """For a program whose arguments have these placeholders. `folder`: for what does not outlive it."""
    if worker.nodes > 1 and not os.environ.get("SLURM_JOB_ID"):
        raise StageError(f"resources.nodes={worker.nodes}: a job of Slurm's is needed for that, and this is none")
    with ExitStack() as stack:
        values = {"nodes": str(worker.nodes), "head_node": head_node() if worker.nodes > 1 else "localhost"}
        if "checkpoint" in names:
            values["checkpoint"] = checkpoint()
        if "metrics" in names:
            values["metrics"] = os.path.join(values.get("checkpoint", folder), METRICS)
        if "port" in names:
            values["port"] = str(stack.enter_context(free_port()))
        yield Surroundings(values, worker.nodes, worker.cpus)
