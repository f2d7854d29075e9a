"""Workers alone: an array on a list that is there, without a driver. Short, so that very many schedules can be played."""

from __future__ import annotations

import functools
import json

from hpcurate.planning.pipeline import Pipeline
from hpcurate.planning.plan import Plan as Submission
from hpcurate.store.layout import StageFolder, Store, fan_of, shard_id
from hpcurate.system.allocation import Allocation
from hpcurate.worker.supervisor import Supervisor
from tests.simulation.episode import MESS_S, Episode
from tests.simulation.filesystem import Node
from tests.simulation.kernel import Process, Violation
from tests.simulation.site import STORES
from tests.simulation.truth import Truth
from tests.simulation.work import encoded, row_of

ROUNDS = 8
"""So many rounds without a fault must be enough."""


class ArrayEpisode(Episode):
    """Some rounds of workers of one stage."""

    def play_through(self) -> None:
        """See `Episode`."""
        hooks, self.site.disk.hooks = self.site.disk.hooks, []
        self._prepare()
        self.site.disk.hooks = hooks
        self._begin(1, self.plan.workers)
        for count, action in [(self.plan.kills, self._kill), (self.plan.preempted, self._requeue)]:
            for when in self._times(count):
                self.kernel.at(when / 4, action)
        for count, action in [(self.plan.clock_jumps, self._jump), (self.plan.host_deaths, self._kill_host)]:
            for when in self._times(count):
                self.kernel.at(when / 4, action)
        self.move(MESS_S, self._nobody_works)
        self._calm_down()
        for number in range(1, ROUNDS):
            self.move(self.kernel.now + 5000, self._nobody_works)
            if not self._nobody_works():
                raise Violation(f"I14: round {number} of workers does not end")
            self._over(number)
            if not self._open():
                break
            self._begin(number + 1, self.plan.workers)
        self._check()

    # -- what is there ------------------------------------------------------------------------------

    @functools.cached_property
    def _stage(self) -> StageFolder:
        return Store(STORES[0]).stage(self._pipeline.stages[0].folder)

    @functools.cached_property
    def _truth(self) -> Truth:
        return self.truths[STORES[0]]

    @functools.cached_property
    def _pipeline(self) -> Pipeline:
        return self.pipeline()

    @functools.cached_property
    def _shards(self) -> list[str]:
        each = self.plan.shard_tasks
        return [shard_id("0001", n) for n in range((len(self.values) + each - 1) // each)]

    def _prepare(self) -> None:
        """A source with one shard, and the list of the stage that reads it."""
        source, disk = Store(STORES[0]).stage(self._pipeline.source.folder), self.site.disk
        above = shard_id("0001.source", 0)
        rows = [row_of(name, value) for name, value in sorted(self.values.items())]
        self._put(f"{source.shard(above)}/tasks.jsonl", encoded(rows))
        self._put(f"{source.shard(above)}/stats.json", json.dumps({"nonce": "source"}).encode())
        each, lines = self.plan.shard_tasks, []
        for number, shard in enumerate(self._shards):
            low, high = number * each, min((number + 1) * each, len(rows))
            part = [self._pipeline.source.folder, above, "source", low, high]
            lines.append({"id": shard, "weight": float(high - low), "count": high - low, "inputs": [part]})
        self._put(self._stage.list_file("0001"), b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        for folder in (self._stage.rounds, *(f(fan) for fan in {fan_of(s) for s in self._shards} for f in
                       (self._stage.claims, self._stage.shards))):  # fmt: skip
            disk.make_folders(folder, "root")

    def _put(self, path: str, data: bytes) -> None:
        self.site.disk.make_folders(path.rpartition("/")[0], "root")
        self.site.disk.put(path, Node(data=data, frozen=True), "root")

    # -- who works ----------------------------------------------------------------------------------

    def _begin(self, number: int, workers: int) -> None:
        for index in range(workers):
            self._start(number, index, 0, self.dice.uniform(0, 60))

    def _start(self, number: int, index: int, restarts: int, after: float) -> None:
        plan = Submission(
            stage=self._pipeline.stages[0],
            run="r",
            store=STORES[0],
            lists=("0001",),
            round=number,
            workers=self.plan.workers,
        )
        here = Allocation(
            job_id=f"{number}0{index}", array_job_id=str(number), array_task_id=index, restart_count=restarts
        )

        def main(process: Process) -> int:
            world = self.site.world(process)
            supervisor = Supervisor(
                plan, f"{STORES[0]}/submission", index, job=str(number), hosts=self.site.hosts(process),
                world=world, log=self.kernel.note, allocation=here,
            )  # fmt: skip
            process.on_terminate = lambda: supervisor.drain(at_once=True)
            status = supervisor.run()
            self.site.left(process, self._pipeline.stages[0].folder)
            return status

        node = self.dice.choice(self._nodes)
        process = self.kernel.spawn(node, f"worker{number}.{index}" + "r" * restarts, main, after)
        process.requeue = lambda: self._start(number, index, restarts + 1, self.dice.uniform(1, 100))

    def _requeue(self) -> None:
        """A job is ended, and begun again under the same id."""
        working = [process for process in self.kernel.processes.values() if process.alive and process.requeue]
        if working:
            process = self.dice.choice(working)
            process.at_end.append(lambda ended: ended.requeue and ended.requeue())
            self.kernel.terminate(process)

    def _nobody_works(self) -> bool:
        return not any(process.alive for process in self.kernel.processes.values())

    def _over(self, number: int) -> None:
        self._put(f"{self._stage.round(number)}.over", b'{"endings": {}}\n')

    # -- what comes of it ---------------------------------------------------------------------------

    def _open(self) -> list[str]:
        return [shard for shard in self._shards if not self._truth.stats(self._stage.path.rpartition("/")[2], shard)]

    def _check(self) -> None:
        if self._open():
            raise Violation(f"I14: {ROUNDS} rounds of workers, and {self._open()} are not committed")
        dead = {
            row["id"]
            for shard in self._shards
            for row in self._truth.rows(self._stage.path.rpartition("/")[2], shard, "failed.jsonl")
        }
        poison = {name for name in self.values if name.startswith("x")}
        if dead != poison:
            raise Violation(f"I6: dead letters are {sorted(dead)}, and should be {sorted(poison)}")
