"""The supervisor of one worker: from its plan to the end of the work. What it does with a shard: `attempts.py`.

It lives in the base environment and imports nothing that a stage needs.
"""

from __future__ import annotations

import errno
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from hpcurate.errors import StoreError
from hpcurate.failures import Ending, FailureKind, Report
from hpcurate.node.place import node_name
from hpcurate.planning.inputs import changed_input
from hpcurate.planning.plan import Plan, memory_mb, worker_shape
from hpcurate.stage import WorkerInfo
from hpcurate.store.access import keep_private
from hpcurate.store.filesystem import DURABILITIES
from hpcurate.store.heartbeat import AtWork
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.packed import Blocks
from hpcurate.store.reports import read_reports, write_report
from hpcurate.store.trouble import explain
from hpcurate.system.allocation import Allocation
from hpcurate.system.installed import difference, versions_here
from hpcurate.system.patience import Patience
from hpcurate.system.processes import share_of_cores
from hpcurate.units import plural
from hpcurate.worker import log_file
from hpcurate.worker.attempts import Attempts
from hpcurate.worker.deadline import Deadline, Room, seconds_left, told_to_leave
from hpcurate.worker.gpu_probe import look_at_gpus, visible_gpus
from hpcurate.worker.gpu_watch import GpuWatch, WatchedHost, watch_gpus
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.worker.hold import hold, is_over
from hpcurate.worker.hosts import Hosts, SetupFailed, ShardEnded, StageHost
from hpcurate.worker.hosts.servers import Servers
from hpcurate.worker.hosts.several_nodes import OnSeveralNodes
from hpcurate.worker.hosts.spawned import ProcessHosts
from hpcurate.worker.next_shard import Attempt, NextShard
from hpcurate.worker.node_staging import NodeFault
from hpcurate.worker.picker import Pick, Picker, Who
from hpcurate.worker.time_sheet import TimeSheet
from hpcurate.world import World

T = TypeVar("T")
COPYING, SETTING_UP = "copying to its node", "setting up the stage"
"""What a worker does before it has a shard, in the words of who looks."""
ERRORS_IN_A_ROW = 3
"""After this many attempts in a row that could not be written, a worker leaves: its node or the disk is bad."""


class Supervisor:
    """Runs one worker from its plan to the end of the work, of the time, or of the patience."""

    def __init__(
        self,
        plan: Plan,
        submission: str,
        index: int,
        *,
        job: str,
        hosts: Hosts | None = None,
        world: World | None = None,
        allocation: Allocation | None = None,
        whole_job: bool = False,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        """`whole_job`: it has the allocation to itself."""
        self.plan, self.submission, self.index, self._print = plan, submission, index, log
        self._world, self._hosts = world or World(), hosts or ProcessHosts()
        self._allocation = allocation or Allocation.here()
        self._store = self._world.stage(Store(plan.store), plan.stage.folder)
        self.worker = f"{job}-{index}-r{self._allocation.restart_count}-{self._world.nonce(4)}"
        self._sheet = TimeSheet(
            self._world, plan, submission, self._allocation, (self.worker, index), whole_job=whole_job
        )
        self._running: list[StageHost] = []
        self._draining = self._world.clock.event()
        left_s = seconds_left(plan.stage.resources.time, self._allocation, self._world.clock.now().timestamp())
        self._deadline = Deadline(self._world.clock, left_s)
        self._failure: str | None = None
        self._staging = self._hosts.staging(plan, submission, self._log)
        self._servers = Servers(plan, self._allocation.job_id or "", self._world.clock, self._log)
        self._attempts = Attempts(
            plan,
            self._store,
            self.worker,
            self._world.clock,
            self._leaving,
            lambda: self._told,
            self._hosts.give_up,
            self._log,
            self._sheet,
        )
        self._before: list[tuple[str, float]] = []
        """What slots do before they have a shard, and since when."""
        self._errors = 0
        self._holds = False
        """Its node may be to blame that it leaves."""
        self._told = ShardEnded(Ending.FREE, "drained")
        self._watch: GpuWatch | None = None

    # -- life ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until nothing is left for this worker. Exit status: 0, or 1 if the stage cannot be set up."""
        self._hosts.prepare(self.plan, [self._info(k) for k in range(self.plan.stage.processes)])
        timing = self.plan.timing
        self._sheet.begin()
        self._heartbeat = Heartbeat(
            self._world,
            self._store.folder,
            self.worker,
            timing.heartbeat_s,
            at_work=self._at_work if self._hosts.tell else None,
            workers=self.plan.workers,
        )
        try:
            lines = self._patiently(self._patience(), self._begin)
            if lines is not None:
                self._picker = self._new_picker(lines)
                self._log(f"worker {self.worker}: {self.plan.stage.name}, {plural(len(lines), 'shard')} in the list")
                self._work_through()
                self._hold(lines)
        finally:
            with suppress(OSError):
                self._attempts.settle()
            self._hosts.close()
            self._servers.close()
            self._staging.close()
            self._heartbeat.stop()
            if self._watch:
                self._watch.stop()
            self._sheet.end()
        if self._failure:
            self._log(f"worker {self.worker}: {self._failure}")
            return 1
        return 0

    def drain(self, at_once: bool) -> None:
        """Begin no more shards; `at_once` hands back those in work, else they may finish in the time left."""
        self._draining.set()
        if at_once or self._deadline.left < self.plan.timing.drain_s / 4:
            used = self._hosts.used_mb() if self._allocation.element else 0  # else nobody enforces it
            self._told = told_to_leave(self._deadline.left, self.plan.timing.drain_s, used, memory_mb(self.plan))
            for host in self._running:
                host.kill()

    def _begin(self) -> Sequence[ShardLine]:
        """Read the shards, and beat. Raises OSError, also for a list that is not seen: the plan names what is there."""
        lists = []
        for name in self.plan.lists:
            found = self._store.lists.read_packed(name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, "shard list not seen", self._store.folder.list_file(name))
            lists.append(found)
        lines = Blocks.joined(lists)
        if any(line.results != self.plan.results for line in lines):
            raise StoreError(f"{self._store.folder.lists}: of {', '.join(self.plan.lists)} one is for other results")
        self._heartbeat.start()
        return lines

    def _at_work(self) -> list[AtWork]:
        """What its slots have in work, or do before, for who looks at the run."""
        now, found = self._world.clock.monotonic(), [host.at_work() for host in self._running]
        before = [AtWork(shard="", tasks=0, name=what, since_s=round(now - since, 3)) for what, since in self._before]
        return before + [one for one in found if one is not None]

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Before there is a shard: it may take minutes, and is no hang."""
        this = what, self._world.clock.monotonic()
        self._before = [*self._before, this]
        try:
            yield
        finally:
            self._before = [one for one in self._before if one is not this]

    def _leaving(self) -> bool:
        return self._draining.is_set() or self._failure is not None

    def _patience(self) -> Patience:
        """A finished attempt is worth the rest of the allocation; without an end, no more than any other."""
        ends = self._deadline.left < math.inf
        return Patience(self._world.clock, self._leaving, lambda: ends and bool(self._attempts.uncommitted))

    def _log(self, line: str) -> None:
        with suppress(OSError):  # the log is in the store, which may be full
            self._print(line)

    def _new_picker(self, lines: Sequence[ShardLine]) -> Picker:
        return Picker(
            self._world,
            self._store,
            lines,
            self._heartbeat,
            Who(
                index=self.index,
                workers=self.plan.workers,
                round=self.plan.round,
                element=self._allocation.element,
                node=node_name(),
                memory_mb=memory_mb(self.plan),
                attempts=self.plan.stage.attempts,
                checkpoints=self.plan.stage.checkpoints,
            ),
            listing_s=self.plan.timing.listing_s,
            lease_s=self.plan.timing.lease_s,
        )

    def _work_through(self) -> None:
        other = difference(self.plan.versions, versions_here(self.plan.versions))
        other = other or changed_input(self.plan.stage.name, self.plan.stage.spec)
        if other:
            self._setup_failed(SetupFailed(other))
            return
        lacking = look_at_gpus(self.plan.stage, node_name(), self._world.clock) if self._needs_probe() else ""
        if lacking:
            self._leave(FailureKind.NODE, lacking)
            return
        self._watch = watch_gpus(self.plan.stage.device, self._world.clock)
        try:
            with self._doing(COPYING):
                self._place = self._staging.stage(self._draining.is_set)
        except NodeFault as error:
            self._leave(FailureKind.NODE, f"node {node_name()}: {error}")
            return
        if not self._hosts.threads:
            self._slot(0)
            return
        start, processes = self._world.clock.start, range(self.plan.stage.processes)
        for thread in [start(partial(self._slot, k), f"slot-{k}") for k in processes]:
            while thread.is_alive():  # joined in steps, so that signals reach the main thread
                thread.join(0.2)
                self._servers.look_after()
                log_file.look_after()
                if self._draining.is_set():
                    self._attempts.hand_back_unstarted()
                if self._deadline.is_near:
                    self.drain(at_once=True)

    def _needs_probe(self) -> bool:
        return self.plan.gpu_probe and self.plan.stage.device == "cuda"

    # -- one slot -----------------------------------------------------------------------------------

    def _slot(self, process: int) -> None:
        host: StageHost | None = None
        fresh = True
        patience, ahead = self._patience(), self._attempts.next_shard(self._claim_ahead)
        try:
            while ahead.begun or not self._leaving():
                if host is None:
                    host = self._patiently(patience, partial(self._start_host, process))
                    if host is None:
                        return
                attempt = ahead.take() or self._patiently(patience, partial(self._next, fresh))
                if attempt is not None:
                    fresh = False
                    self._work(host, attempt, patience, ahead)
                elif not self._picker.waits:
                    return
                else:
                    self._draining.wait(self.plan.timing.listing_s)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._attempts.let_go(ahead, unless_begun=True)
            if host:
                host.close()
            self._attempts.let_go(ahead)

    def _next(self, fresh: bool) -> Attempt | None:
        self._attempts.settle()
        pick = self._picker.next(self._room(fresh=fresh))
        return self._attempts.open(pick) if pick else None

    def _claim_ahead(self, before: float) -> Pick | None:
        return self._picker.next(self._room(before=before), ahead=True)

    def _room(self, *, fresh: bool = False, before: float = 0.0) -> Room:
        left, pace = self._deadline.left, self._attempts.pace.seconds_per_weight
        return Room(limits=self.plan.limits, left=left, seconds_per_weight=pace, before=before, fresh=fresh)

    def _start_host(self, process: int) -> StageHost | None:
        """None where the stage cannot be set up. Raises OSError where it cannot because the store fails."""
        info = self._servers.beside(self._info(process), self._place)
        host: StageHost = self._hosts.host(self.plan, info, self._place, self._log)
        if self._watch:
            host = WatchedHost(host, self._watch, info.gpus, self._world.clock)
        if info.nodes > 1:
            host = OnSeveralNodes(host, self._allocation.job_id or "", self._log)
        self._running.append(host)
        try:
            with self._doing(SETTING_UP):
                ready = host.start()
        except SetupFailed as error:
            host.close()
            self._store.commits.test_write(self.submission)
            self._setup_failed(error)
            return None
        self._sheet.ready()
        if ready.made:
            self._staging.record_staging(f"setup_on_node of {self.plan.stage.name}", ready.made)
        return host

    def _info(self, process: int) -> WorkerInfo:
        stage = self.plan.stage
        return WorkerInfo(
            index=self.index,
            process=process,
            cpus=max(1, int(stage.resources.cpus)),
            nodes=stage.resources.nodes,
            cores=self._cores(process),
            device=stage.device,
            gpus=self._gpus(process),
            gpu_share=share_of_memory(stage.resources.gpus),
        )

    def _gpus(self, process: int) -> tuple[str, ...]:
        stage = self.plan.stage
        if stage.device != "cuda":
            return ()
        return share_of_gpus(visible_gpus() or (), process, stage.processes, stage.resources.gpus)

    def _cores(self, process: int) -> tuple[int, ...]:
        """Cores for one stage process, where this worker has a cpuset of its own; else nothing is pinned."""
        stage, mine = self.plan.stage, sorted(os.sched_getaffinity(0))
        if not self._hosts.threads or stage.resources.cpus < 1 or len(mine) > worker_shape(stage).cpus:
            return ()
        return share_of_cores(mine, process, stage.processes, int(stage.resources.cpus))

    def _setup_failed(self, error: SetupFailed) -> None:
        if self._draining.is_set():
            return
        self._log(f"{error.traceback}\nsetup of stage {self.plan.stage.name!r} failed: {error}")
        self._leave(FailureKind.SETUP, str(error), error.traceback)

    def _leave(self, kind: FailureKind, message: str, traceback: str = "") -> None:
        """Before the work is done: why is written down, and what a stage that stalls shows."""
        self._failure = f"setup failed: {message}" if kind is FailureKind.SETUP else message
        self._holds = self._holds or kind in (FailureKind.NODE, FailureKind.SETUP)
        report = Report(worker=self.worker, node=node_name(), kind=kind, message=message, traceback=traceback)
        with suppress(OSError):
            write_report(self._world.filesystem, self.submission, self.index, report)

    def _hold(self, lines: Sequence[ShardLine]) -> None:
        """Keep the allocation for a while, where others of an array may be given this node next."""
        if not self._holds or not self._allocation.element or self.plan.workers == 1:
            return

        def done() -> int:
            return len(self._store.commits.names(line.id for line in lines))

        def over() -> bool:
            reports = read_reports(self._world.filesystem, self.submission)
            return is_over(self.worker, before, done(), [report.worker for report in reports])

        timing, clock = self.plan.timing, self._world.clock
        with suppress(OSError):
            before = done()
            hold(clock, self._draining, min(timing.hold_s, self._deadline.left), timing.listing_s, over)

    # -- one shard ----------------------------------------------------------------------------------

    def _work(self, host: StageHost, attempt: Attempt, patience: Patience, ahead: NextShard) -> None:
        try:
            ended = self._attempts.work(host, attempt, patience, ahead)
        except SetupFailed as error:
            if self._store_works(patience):
                self._setup_failed(error)
            return
        self._errors = self._errors + 1 if ended and ended.ending is Ending.ERROR else 0
        if ended and self._errors >= ERRORS_IN_A_ROW:
            self._failure = f"{self._errors} attempts in a row could not be finished, the last: {ended.detail}"
        if ended and ended.ending is Ending.STORE and not patience.pause(ended.detail):
            self._store_failed(patience)

    def _store_works(self, patience: Patience) -> bool:
        """Whether a test write goes through; where it does not, after a pause."""
        try:
            self._store.commits.test_write(self.submission)
        except OSError as error:
            if not patience.pause(explain(error, self.plan.store)):
                self._store_failed(patience)
            return False
        return True

    def _patiently(self, patience: Patience, action: Callable[[], T]) -> T | None:
        """What `action` returns, tried again after pauses while the store fails; None where this worker is to leave."""
        while not self._leaving():
            try:
                return action()
            except OSError as error:
                self._log(f"worker {self.worker}: the store failed: {error}")
                if not patience.pause(explain(error, self.plan.store)):
                    self._store_failed(patience)
        return None

    def _store_failed(self, patience: Patience) -> None:
        """It is to leave, and the store fails still: what a run that stalls shows."""
        if self._failure is None:
            self._leave(FailureKind.STORE, str(patience))


def share_of_gpus(devices: tuple[str, ...], process: int, processes: int, gpus: float) -> tuple[str, ...]:
    """Devices of one stage process: its own run of whole ones, or one shared by several. Pure."""
    if not devices or gpus <= 0:
        return ()
    if gpus < 1:
        return (devices[int(process * gpus + 1e-9) % len(devices)],)
    each = int(gpus)
    return devices[process * each : (process + 1) * each] or devices[:each]


def share_of_memory(gpus: float) -> float:
    """Of each of its GPUs, for a process that asked for so many. Pure."""
    return gpus if 0 < gpus < 1 else 1.0


def main(argv: list[str]) -> int:
    """`python -m hpcurate.worker <submission> [--offset N]`: one worker of a submission."""
    keep_private()
    submission = argv[0]
    offset = int(argv[argv.index("--offset") + 1]) if "--offset" in argv else 0
    element = Allocation.here()
    index = offset + int(os.environ.get("HPCURATE_WORKER") or element.array_task_id or 0)
    parent = os.environ.get("HPCURATE_PARENT")  # with the local launcher
    job = f"local{parent}" if parent else element.array_job_id or element.job_id or f"local{os.getpid()}"
    plan = _plan_of(submission)
    world = World(filesystem=DURABILITIES[plan.durability]).expecting(Store(plan.store))
    alone = bool(element.element) and not parent
    supervisor = Supervisor(plan, submission, index, job=job, world=world, allocation=element, whole_job=alone)
    signal.signal(signal.SIGUSR2, lambda *_: supervisor.drain(at_once=False))
    signal.signal(signal.SIGTERM, lambda *_: supervisor.drain(at_once=True))
    log_file.log_to_file(plan, submission, index)
    return supervisor.run()


def _plan_of(submission: str) -> Plan:
    """The plan was there when this was submitted: while it cannot be read, the store fails. Raises OSError."""
    patience = Patience(World().clock, lambda: False)
    while True:
        try:
            return Plan.load(submission)
        except OSError as error:
            print(f"the store failed: {explain(error)}", flush=True)
            if not patience.pause(error):
                raise
