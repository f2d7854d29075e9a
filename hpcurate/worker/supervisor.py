"""The supervisor of one worker: claims shards, has them run, judges what goes wrong, commits.

It lives in the base environment and imports nothing that a stage needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs

from hpcurate.errors import StoreFailed
from hpcurate.failures import Ending, FailureKind, Verdict, judge
from hpcurate.planning.inputs import changed_input
from hpcurate.planning.plan import Plan, log_path, worker_shape
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.messages import Done, ShardJob
from hpcurate.store.layout import Store
from hpcurate.store.lists import ShardLine
from hpcurate.store.stats import ShardStats
from hpcurate.system.allocation import Allocation
from hpcurate.system.installed import difference, versions_here
from hpcurate.system.processes import nonce, share_of_cores
from hpcurate.worker.deadline import Deadline, Pace, seconds_left
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.worker.hosts import Hosts, SetupFailed, ShardEnded, StageHost
from hpcurate.worker.hosts.spawned import ProcessHosts
from hpcurate.worker.picker import Pick, Picker
from hpcurate.world import World

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
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        self.plan, self.submission, self.index, self._log = plan, submission, index, log
        self._world, self._hosts = world or World(), hosts or ProcessHosts()
        self._root = Store(plan.store)
        self._store = self._world.stage(self._root, plan.stage.folder)
        self.worker = f"{job}-{index}-r{Allocation.here().restart_count}-{nonce()}"
        self._running: list[StageHost] = []
        self._draining = threading.Event()
        self._deadline = Deadline(self._world.clock, seconds_left(plan.stage.resources.time))
        self._pace = Pace()
        self._failure: str | None = None
        self._staging = self._hosts.staging(plan, submission, log)
        self._errors = 0

    # -- life ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until nothing is left for this worker. Exit status: 0, or 1 if the stage cannot be set up."""
        self._hosts.prepare(self.plan, [self._info(k) for k in range(self.plan.stage.processes)])
        timing = self.plan.timing
        self._heartbeat = Heartbeat(self._world, self._store.folder, self.worker, timing.heartbeat_s)
        self._heartbeat.start()
        try:
            lines = [line for name in self.plan.lists for line in self._store.lists.read(name) or []]
            self._picker = self._new_picker(lines)
            self._log(f"worker {self.worker}: {self.plan.stage.name}, {len(lines)} shards in the list")
            self._work_through()
        finally:
            self._hosts.close()
            self._staging.close()
            self._heartbeat.stop()
        if self._failure:
            self._log(f"worker {self.worker}: {self._failure}")
            return 1
        return 0

    def drain(self, at_once: bool) -> None:
        """Begin no more shards; `at_once` hands back those in work, else they may finish in the time left."""
        self._draining.set()
        if at_once or self._deadline.left < self.plan.timing.drain_s / 4:
            for host in self._running:
                host.kill()

    def _new_picker(self, lines: list[ShardLine]) -> Picker:
        return Picker(
            self._world,
            self._store,
            lines,
            self._heartbeat,
            index=self.index,
            workers=self.plan.workers,
            round=self.plan.round,
            listing_s=self.plan.timing.listing_s,
            lease_s=self.plan.timing.lease_s,
            element=Allocation.here().element,
        )

    def _work_through(self) -> None:
        other = difference(self.plan.versions, versions_here(self.plan.versions))
        other = other or changed_input(self.plan.stage.name, self.plan.stage.spec)
        if other:
            self._setup_failed(SetupFailed(other))
            return
        self._place = self._staging.stage(self._draining.is_set)
        if not self._hosts.threads:
            self._slot(0)
            return
        processes = range(self.plan.stage.processes)
        threads = [threading.Thread(target=self._slot, args=(k,), name=f"slot-{k}") for k in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # joined in steps, so that signals reach the main thread
                thread.join(0.2)
                if self._draining.is_set() and self._deadline.is_near:
                    self.drain(at_once=True)

    # -- one slot -----------------------------------------------------------------------------------

    def _slot(self, process: int) -> None:
        host: StageHost | None = None
        try:
            while not self._draining.is_set() and self._failure is None:
                if host is None:
                    host = self._start_host(process)
                    if host is None:
                        return
                pick = self._picker.next(lambda line: self._deadline.fits(line, self._pace))
                if pick is None:
                    return
                self._work(host, pick)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            if host:
                host.close()

    def _start_host(self, process: int) -> StageHost | None:
        host = self._hosts.host(self.plan, self._info(process), self._place, self._log)
        self._running.append(host)
        try:
            ready = host.start()
        except SetupFailed as error:
            self._setup_failed(error)
            host.close()
            return None
        if ready.made:
            self._staging.record_staging(f"setup_on_node of {self.plan.stage.name}", ready.made)
        return host

    def _info(self, process: int) -> WorkerInfo:
        stage = self.plan.stage
        return WorkerInfo(
            index=self.index,
            process=process,
            cpus=max(1, int(stage.resources.cpus)),
            cores=self._cores(process),
            gpus=share_of_gpus(visible_gpus(), process, stage.processes, stage.resources.gpus),
        )

    def _cores(self, process: int) -> tuple[int, ...]:
        """Cores for one stage process, where this worker has a cpuset of its own; else nothing is pinned."""
        stage, mine = self.plan.stage, sorted(os.sched_getaffinity(0))
        if not self._hosts.threads or stage.resources.cpus < 1 or len(mine) > worker_shape(stage).cpus:
            return ()
        return share_of_cores(mine, process, stage.processes, int(stage.resources.cpus))

    def _setup_failed(self, error: SetupFailed) -> None:
        if self._draining.is_set():
            return
        self._failure = f"setup failed: {error}"
        report = {
            "worker": self.worker,
            "kind": FailureKind.SETUP.value,
            "message": str(error),
            "traceback": error.traceback,
        }
        self._log(f"{error.traceback}\nsetup of stage {self.plan.stage.name!r} failed: {error}")
        with suppress(OSError):
            path = os.path.join(self.submission, "failure.json")
            self._world.filesystem.replace(path, json.dumps(report).encode())

    # -- one shard ----------------------------------------------------------------------------------

    def _work(self, host: StageHost, pick: Pick) -> None:
        claim, line = pick.claim, pick.line
        directory = self._store.commits.begin(line.id, claim.attempt, claim.nonce)
        started = self._world.clock.monotonic()
        verdict = judge(claim.history, self.plan.stage.attempts)
        job = self._job(line, directory, verdict)
        try:
            done = self._give_up(job, verdict.exhausted) if verdict.exhausted else host.run(job)
            won = self._store.commits.commit(directory, self._stats(pick, done))
        except SetupFailed as error:
            self._setup_failed(error)
            self._abandon(pick, directory, ShardEnded(Ending.FREE, "setup failed"))
        except ShardEnded as ended:
            self._abandon(pick, directory, ended)
        except OSError as error:
            self._abandon(pick, directory, ShardEnded(Ending.ERROR, f"{type(error).__name__}: {error}"))
        except BaseException:  # Ctrl-C with the inline launcher
            self._abandon(pick, directory, ShardEnded(Ending.FREE, "interrupted"))
            raise
        else:
            self._errors = 0
            self._pace.learn(line.weight, self._world.clock.monotonic() - started)
            self._log(f"shard {line.id} attempt {claim.attempt}: {_describe(done, won)}")

    def _job(self, line: ShardLine, directory: str, verdict: Verdict) -> ShardJob:
        stage = self.plan.stage
        return ShardJob(
            shard=line.id,
            directory=directory,
            ref=os.path.relpath(self._store.folder.shard(line.id), self._root.stages),
            root=self._root.stages,
            inputs=[
                (os.path.join(self._root.stage(i.stage).shard(i.shard), "tasks.jsonl"), i.lo, i.hi) for i in line.inputs
            ],
            batch_size=stage.batch_size,
            whole=stage.relation.whole,
            isolate=verdict.isolate,
            poison=verdict.poison,
        )

    def _give_up(self, job: ShardJob, reason: str) -> Done:
        """Every task of the shard becomes a dead letter: no attempt so far came back."""
        from hpcurate.stage_process.output import give_up

        try:
            return Done(counts=give_up(job, self.plan.stage.name, reason), environment={})
        except StoreFailed as failed:
            raise ShardEnded(Ending.STORE, str(failed)) from failed

    def _stats(self, pick: Pick, done: Done) -> ShardStats:
        return ShardStats(
            **attrs.asdict(done.counts),
            shard=pick.line.id,
            nonce=pick.claim.nonce,
            attempt=pick.claim.attempt,
            worker=self.worker,
            history=pick.claim.history,
            environment=done.environment,
        )

    def _abandon(self, pick: Pick, directory: str, ended: ShardEnded) -> None:
        self._log(f"shard {pick.line.id} attempt {pick.claim.attempt} ended: {ended.ending.value}: {ended.detail}")
        with suppress(OSError):
            self._store.commits.discard(directory)
        with suppress(OSError):
            self._store.claims.end(pick.claim, ended.ending, ended.detail[:2000], ended.in_flight[:100])
        if ended.ending is Ending.ERROR:
            self._errors += 1
            if self._errors >= ERRORS_IN_A_ROW:
                self._failure = f"{self._errors} attempts in a row could not be finished, the last: {ended.detail}"


def visible_gpus() -> tuple[str, ...]:
    """Devices this worker was given."""
    return tuple(d for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d)


def share_of_gpus(devices: tuple[str, ...], process: int, processes: int, gpus: float) -> tuple[str, ...]:
    """Devices of one stage process: its own run of whole ones, or one shared by several. Pure."""
    if not devices or gpus <= 0:
        return ()
    if gpus < 1:
        return (devices[int(process * gpus + 1e-9) % len(devices)],)
    each = int(gpus)
    return devices[process * each : (process + 1) * each] or devices[:each]


def _describe(done: Done, won: bool) -> str:
    counts = done.counts
    ends = {"passed": counts.passed, "dropped": counts.dropped, "failed": counts.failed}
    words = ", ".join(f"{count} {name}" for name, count in ends.items() if count)
    return f"{words or 'empty'} in {counts.seconds:.1f} s" + ("" if won else " (another attempt was committed first)")


def main(argv: list[str]) -> int:
    """`python -m hpcurate.worker <submission> [--offset N]`: one worker of a submission."""
    submission = argv[0]
    offset = int(argv[argv.index("--offset") + 1]) if "--offset" in argv else 0
    element = Allocation.here()
    index = offset + int(os.environ.get("HPCURATE_WORKER") or element.array_task_id or 0)
    array = element.array_job_id or element.job_id
    plan = Plan.load(submission)
    supervisor = Supervisor(plan, submission, index, job=array or f"local{os.getpid()}")
    signal.signal(signal.SIGUSR2, lambda *_: supervisor.drain(at_once=False))
    signal.signal(signal.SIGTERM, lambda *_: supervisor.drain(at_once=True))
    _log_to_file(submission, index)
    return supervisor.run()


def _log_to_file(submission: str, index: int) -> None:
    """Send stdout and stderr of this worker and its children to its log; Slurm's file keeps what came before."""
    path = Path(log_path(submission, index))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    sys.stdout.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
