"""A worker gets time, threads, chance and its job handed to it. Before, it asked the machine that it was on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from one_worker import Bench, bench
from unit_stages import Fated, numbers

from hpcurate.failures import Blame, Ending
from hpcurate.stage_process.messages import ShardJob
from hpcurate.store.claims import Claim
from hpcurate.store.layout import fan_of, shard_id
from hpcurate.store.stats import ShardCounts
from hpcurate.system.allocation import Allocation
from hpcurate.system.clock import SystemClock, Thread
from hpcurate.system.processes import SystemProcesses
from hpcurate.worker.hosts.inprocess import InProcessHosts
from hpcurate.world import World


class Watched(SystemClock):
    """Knows the names of the threads that were started by it."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, action: Callable[[], None], name: str) -> Thread:
        """Start it, and note that."""
        self.started.append(name)
        return super().start(action, name)


class Several(InProcessHosts):
    """Slots side by side in this process, and a way of its own to give up."""

    threads = True

    def __init__(self) -> None:
        self.given_up: list[tuple[str, str, bool]] = []

    def give_up(self, job: ShardJob, stage: str, reason: Blame) -> ShardCounts:
        """See `Hosts`."""
        self.given_up.append((job.shard, stage, "crash" in reason.why))
        return ShardCounts(tasks_in=1, failed=1)


def crashed(found: Bench, number: int) -> str:
    """A shard whose only attempt came to nothing."""
    claims, shard = found.store.claims, shard_id("0001", number)
    found.store.filesystem.make_folders(found.store.folder.claims(fan_of(shard)))
    claim = Claim(shard=shard, attempt=1, nonce="n", worker="before", process=SystemProcesses().mine())
    claims.take(claim)
    claims.end(claim, Ending.CRASH)
    return shard


def test_its_name_its_slots_and_its_way_to_give_up_are_handed_in(tmp_path: Path) -> None:
    """So that a simulation is all that it sees."""
    found, clock, hosts = (
        bench(tmp_path, Fated(["keep"]), numbers(0, 1, 2), 1, processes=2, attempts=1),
        Watched(),
        Several(),
    )
    shard = crashed(found, 2)
    world, job = World(clock=clock, nonce="z".__mul__), Allocation(job_id="7", restart_count=3)
    worker = found.worker(world, hosts=hosts, allocation=job)
    assert 0 == worker.run()
    assert "test-0-r3-zzzz" == worker.worker
    assert {"slot-0", "slot-1"} < set(clock.started)
    assert [(shard, "stage", True)] == hosts.given_up
    claim = found.store.claims.read(shard, 2)
    assert claim is not None
    assert ("7", 2) == (claim.element, len(found.rows("tasks")))
