"""What hpcurate asks of shared storage as workers and shards grow, and how long looks at 100 000 shards take.

    python benchmarks/scale.py                     # the model: 10 × 1 000, 100 × 10 000, 1 000 × 100 000
    python benchmarks/scale.py --disk [--shards N] # for real, on this disk: status, watch, a gate's look, the next list
    python benchmarks/scale.py --workers 100 --shards 10000 --seconds 60 --late 1

The model plays the real picker, claims and commits of all workers over storage in memory, in virtual time, where each
call has a price (`benchmarks/scale_model.py`): about 500 creates a second from one client, 15 000 from all together.

What it leaves out: a server that is busy answers no later, the share of its time that is used is printed instead; what
a stage process reads and writes (its input, `tasks.jsonl`: one create and one write a shard are counted for it; see
`benchmarks/metadata.py` for the system calls of one real shard); the driver's looks, which `--disk` counts; faults.
Shards take `--seconds` on average, exponentially distributed, and their weights are no help in guessing that.
"""

from __future__ import annotations

import heapq
import random
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from rounds import parser, scratch
from scale_model import CREATE, Client, Disk, Everyone, VirtualClock

from hpcurate.store.layout import Store, shard_id
from hpcurate.store.lists import ShardLine
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import ShardStats
from hpcurate.worker import picker as picking
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.worker.picker import Pick, Picker, Trial, Who, order_of_trial, owners
from hpcurate.world import World

SIZES = ((10, 1_000), (100, 10_000), (1_000, 100_000))
LARGEST = (10_000, 1_000_000)
HEARTBEAT_S, LISTING_S, LEASE_S = 30.0, 30.0, 300.0
KINDS = ("create", "mkdir", "rename", "read", "stat", "beat", "list")


class SharedOrder(Sequence[Trial]):
    """A worker's order of trial as a view of the one sorted list: a thousand copies would not fit in memory."""

    heavy: Sequence[Trial] = ()
    shares: Sequence[array[int]] = ()
    """Worker → places of its share in `heavy`, in order."""

    def __init__(self, lines: Sequence[ShardLine], index: int, workers: int) -> None:
        self.own = self.shares[index]

    @classmethod
    def share(cls, lines: Sequence[ShardLine], workers: int) -> None:
        """For this list and so many workers."""
        cls.heavy, cls.shares = order_of_trial(lines, 0, 1), [array("l") for _ in range(workers)]
        for place, owner in enumerate(owners(cls.heavy, workers)):
            cls.shares[owner].append(place)

    def __len__(self) -> int:
        return len(self.heavy)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if place < len(self.own):
            return self.heavy[self.own[place]]
        other = place - len(self.own)
        before = bisect_right(range(len(self.own)), other, key=lambda number: self.own[number] - number)
        return self.heavy[other + before]


@attrs.define
class Worker:
    """One worker of the model."""

    clock: VirtualClock
    store: StageStore
    picker: Picker
    heartbeat: Heartbeat
    pick: Pick | None = None
    claiming_s: float = 0.0
    committing_s: float = 0.0
    beats: int = 0

    def step(self, work_s: float) -> bool:
        """Claim the next shard and work on it; False where there is none. What it had is committed first."""
        if self.pick is not None:
            begun = self.clock.at
            self._commit(self.pick)
            self.committing_s += self.clock.at - begun
        begun = self.clock.at
        self.pick = self.picker.next()
        self.claiming_s += self.clock.at - begun
        if self.pick is not None:
            self.clock.at += work_s
            while self.beats * HEARTBEAT_S < self.clock.at:
                self.heartbeat._write(self.beats)
                self.beats += 1
        return self.pick is not None

    def _commit(self, pick: Pick) -> None:
        path = self.store.commits.begin(pick.line.id, pick.claim.attempt, pick.claim.nonce)
        self.store.filesystem.create(f"{path}/tasks.jsonl", b"{}\n")
        self.store.commits.commit(path, ShardStats(shard=pick.line.id, nonce=pick.claim.nonce, attempt=1))


@attrs.define(frozen=True, kw_only=True)
class Cost:
    """What a stage cost."""

    workers: int
    shards: int
    seconds: float
    """Virtual, from the first claim to the last commit."""
    calls: dict[str, float]
    """Kind → calls a shard."""
    server: float
    """Share of the server's time."""
    tries: float
    """Creates of a claim for each one that was won."""
    claiming_s: float
    """A shard."""
    inodes: float
    """Files and folders a shard."""
    took_s: float


def play(workers: int, shards: int, seconds: float, late_s: float, seed: int = 1) -> Cost:
    """A stage of so many shards with so many workers, all of which begin within a minute."""
    began, dice, disk = time.perf_counter(), random.Random(seed), Disk(late_s=late_s)
    lines = [ShardLine(shard_id("0001", n), dice.random(), 1, ()) for n in range(shards)]
    SharedOrder.share(lines, workers)
    picking.order_of_trial = SharedOrder  # type: ignore[assignment]
    store = Store("/s")
    first = Client(disk, VirtualClock(), -1)
    first.make_folders(store.stage("stage").lists)
    World(filesystem=first).stage(store, "stage").lists.write("0001", lines)
    disk.calls.clear()
    disk.busy_s = 0.0
    inodes = disk.inodes
    all_workers = [_worker(disk, store, lines, number, workers, dice.uniform(0, 60)) for number in range(workers)]
    ready = [(worker.clock.at, number) for number, worker in enumerate(all_workers)]
    heapq.heapify(ready)
    while ready:
        _, number = heapq.heappop(ready)
        if all_workers[number].step(dice.expovariate(1 / seconds)):
            heapq.heappush(ready, (all_workers[number].clock.at, number))
    end = max(worker.clock.at for worker in all_workers)
    claims = sum(len(disk.folders[path]) for path in disk.folders if "/claims/" in path)
    assert claims == shards, f"{claims} of {shards} shards were claimed"
    return Cost(
        workers=workers,
        shards=shards,
        seconds=end,
        calls={kind: disk.calls[kind] / shards for kind in (*KINDS, "names listed")},
        server=disk.busy_s / end,
        tries=1 + disk.calls["create in vain"] / shards,
        claiming_s=sum(worker.claiming_s for worker in all_workers) / shards,
        inodes=(disk.inodes - inodes) / shards,
        took_s=time.perf_counter() - began,
    )


def _worker(disk: Disk, store: Store, lines: Sequence[ShardLine], number: int, workers: int, begins: float) -> Worker:
    clock = VirtualClock()
    clock.at = begins
    filesystem = Client(disk, clock, number)
    world = World(filesystem=filesystem, clock=clock, processes=Everyone(number))  # type: ignore[arg-type]
    stage = world.stage(store, "stage")
    heartbeat = Heartbeat(world, stage.folder, f"job-{number}-r0-{number:04x}", HEARTBEAT_S)
    filesystem.make_folders(stage.folder.workers + f"/{heartbeat.worker[-2:]}")
    who = Who(index=number, workers=workers, round=1)
    picker = Picker(world, stage, lines, heartbeat, who, listing_s=LISTING_S, lease_s=LEASE_S)
    return Worker(clock, stage, picker, heartbeat)


def table(costs: Sequence[Cost]) -> Iterator[str]:
    """As Markdown."""
    yield "| workers × shards | " + " | ".join(KINDS) + " | all | names listed | inodes |"
    yield "|---|" + "---|" * (len(KINDS) + 3)
    for one in costs:
        calls = " | ".join(f"{one.calls[kind]:.2f}" for kind in KINDS)
        whole = sum(one.calls[kind] for kind in KINDS)
        listed = one.calls["names listed"]
        yield f"| {one.workers} × {one.shards} | {calls} | {whole:.1f} | {listed:.0f} | {one.inodes:.2f} |"
    yield ""
    yield "| workers × shards | seconds, virtual | of the server's time | tries a claim | claiming, s | model, s |"
    yield "|---|---|---|---|---|---|"
    for one in costs:
        shape = f"| {one.workers} × {one.shards} | {one.seconds:.0f} | {one.server:.2%} | {one.tries:.3f} "
        yield f"{shape}| {one.claiming_s:.3f} | {one.took_s:.0f} |"


def extrapolated(one: Cost, seconds: float) -> str:
    """To the largest size, with the formula."""
    workers, shards = LARGEST
    busy = one.server * one.seconds / one.shards
    changing = sum(one.calls[kind] for kind in ("create", "mkdir", "rename"))
    share = busy * workers / seconds
    return (
        f"{workers} × {shards}: share = server seconds a shard × workers / seconds of work a shard\n"
        f"  = {busy * 1e6:.0f} µs × {workers} / {seconds:g} s = {share:.1%}; "
        f"of the {1 / CREATE.server_s:.0f} changing calls a second: {changing:.1f} a shard × {workers} / {seconds:g} s "
        f"= {changing * workers / seconds:.0f}/s. So shards of less than {busy * workers:.1f} s would wait for it."
    )


def quick() -> dict[str, float]:
    """Whether calls a shard stay flat: of few shards beside those of ten times as many with ten times the workers."""
    few, many = (play(workers, 100 * workers, 60.0, 1.0) for workers in (4, 40))
    few_calls, many_calls = (sum(one.calls[kind] for kind in KINDS) for one in (few, many))
    return {"calls a shard, 4 beside 40 workers": few_calls / many_calls, "claims won of tries": 1 / many.tries}


def main() -> None:
    """Print the tables."""
    options = parser(__doc__, quick=quick, repeat=0, folder=True)
    options.add_argument("--workers", type=int, help="(default: the three sizes)")
    options.add_argument("--shards", type=int, default=100_000, help="(default: 100000)")
    options.add_argument("--seconds", type=float, default=60.0, help="of work a shard, on average (default: 60)")
    options.add_argument("--late", type=float, default=1.0, help="seconds until others see a name (default: 1)")
    options.add_argument("--disk", action="store_true", help="for real, on this disk")
    given = options.parse_args()
    if given.disk:
        from status import for_real

        with scratch(given.dir) as folder:
            return for_real(str(folder), given.shards)
    sizes = [(given.workers, given.shards)] if given.workers else SIZES
    costs = [play(*size, given.seconds, given.late) for size in sizes]
    print("\n".join(table(costs)))
    print(f"\n{extrapolated(costs[-1], given.seconds)}")


if __name__ == "__main__":
    main()
