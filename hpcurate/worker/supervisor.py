"""The supervisor of one worker: claims shards, has them run, judges what goes wrong, commits.

It lives in the base environment and imports nothing that a stage needs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.runner import ShardJob
from hpcurate.store.claims import Ending, end_attempt, judge
from hpcurate.store.commits import begin_attempt, commit
from hpcurate.store.filesystem import Filesystem, PosixFilesystem
from hpcurate.store.layout import StageFolder, Store
from hpcurate.store.lists import ShardLine, read_list
from hpcurate.system.installed import difference, versions_here
from hpcurate.system.processes import nonce, share_of_cores
from hpcurate.worker.heartbeat import Heartbeat
from hpcurate.worker.hosts.forked import Forked, fork
from hpcurate.worker.hosts.spawned import (
    InProcess,
    SetupFailed,
    ShardDone,
    ShardEnded,
    StageHost,
    StageProcess,
    serve_forked,
)
from hpcurate.worker.node_staging import NodeStaging
from hpcurate.worker.picker import Pick, Picker

ERRORS_IN_A_ROW = 3
"""After this many attempts in a row that could not be written, a worker leaves: its node or the disk is bad."""
PREDICTION_MARGIN = 1.5
"""A shard is begun only if this many times its predicted time is left."""

HAND_BACK_S = 10.0
"""A shard that is not done this long before the end of the wall time is handed back."""


@attrs.define
class Pace:
    """Seconds a unit of weight takes here, learned from finished shards."""

    seconds: float = 0.0
    weight: float = 0.0

    def learn(self, weight: float, seconds: float) -> None:
        """Add one finished shard."""
        self.weight += weight
        self.seconds += seconds

    def predict(self, weight: float) -> float:
        """Seconds for a shard of `weight`; 0 while nothing is known."""
        return weight * self.seconds / self.weight if self.weight else 0.0


class Supervisor:
    """Runs one worker from its plan to the end of the work, of the time, or of the patience."""

    def __init__(
        self,
        plan: Plan,
        submission: str,
        index: int,
        *,
        job: str,
        inline: bool = False,
        filesystem: Filesystem | None = None,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        self.plan, self.submission, self.index, self.inline = plan, submission, index, inline
        self._store = Store(plan.store)
        self._folder: StageFolder = self._store.stage(plan.folder)
        self._filesystem = filesystem or PosixFilesystem()
        self._log = log
        self.worker = f"{job}-{index}-r{os.environ.get('SLURM_RESTART_COUNT', '0')}-{nonce()}"
        self._hosts: list[StageHost] = []
        self._forked: dict[int, Forked] = {}
        self._draining = threading.Event()
        self._deadline = _deadline(plan)
        self._pace = Pace()
        self._failure: str | None = None
        self._bringer = NodeStaging(plan, submission, inline=inline, stop=self._draining.is_set, log=log)
        self._errors = 0

    # -- life ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until nothing is left for this worker. Exit status: 0, or 1 if the stage cannot be set up."""
        self._fork_stage_processes()  # before there are threads
        self._heartbeat = Heartbeat(self._filesystem, self._folder, self.worker, self.plan.timing.heartbeat_s)
        self._heartbeat.start()
        try:
            lines = [line for name in self.plan.lists for line in read_list(self._filesystem, self._folder, name) or []]
            self._picker = self._new_picker(lines)
            self._log(f"worker {self.worker}: {self.plan.stage}, {len(lines)} shards in the list")
            other = difference(self.plan.versions, versions_here(self.plan.versions))
            if other:
                self._setup_failed(SetupFailed(other))
            else:
                self._place = self._bringer.bring()
                self._run_slots()
        finally:
            for unused in self._forked.values():
                unused.channel.close()
            self._bringer.close()
            self._heartbeat.stop()
        if self._failure:
            self._log(f"worker {self.worker}: {self._failure}")
            return 1
        return 0

    def drain(self, at_once: bool) -> None:
        """Begin no more shards; `at_once` hands back those in work, else they may finish in the time left."""
        self._draining.set()
        if at_once or self._time_left() < self.plan.timing.drain_s / 4:
            for host in self._hosts:
                host.kill()

    def _new_picker(self, lines: list[ShardLine]) -> Picker:
        return Picker(
            self._filesystem,
            self._folder,
            lines,
            self._heartbeat,
            index=self.index,
            workers=self.plan.workers,
            round=self.plan.round,
            listing_s=self.plan.timing.listing_s,
            lease_s=self.plan.timing.lease_s,
            new_nonce=lambda: nonce(8),
        )

    def _run_slots(self) -> None:
        if self.inline:
            self._slot(0)
            return
        threads = [threading.Thread(target=self._slot, args=(k,), name=f"slot-{k}") for k in range(self.plan.processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # joined in steps, so that signals reach the main thread
                thread.join(0.2)
                if self._draining.is_set() and self._time_left() <= HAND_BACK_S:
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
                pick = self._picker.next(self._fits)
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
        host = self._host(process)
        self._hosts.append(host)
        try:
            made = host.start()["made"]
        except SetupFailed as error:
            self._setup_failed(error)
            host.close()
            return None
        if made:
            self._bringer.bill(f"setup_on_node of {self.plan.stage}", made)
        return host

    def _fork_stage_processes(self) -> None:
        if not self.inline and not self.plan.env.python:
            import hpcurate.stage_process.main  # noqa: F401 - once, for all of them

            for process in range(self.plan.processes):
                serve = partial(serve_forked, self.plan, self._info(process))
                self._forked[process] = fork(serve, list(self._forked.values()))

    def _info(self, process: int) -> WorkerInfo:
        return WorkerInfo(
            index=self.index,
            process=process,
            cpus=max(1, int(self.plan.resources.cpus)),
            cores=self._cores(process),
            gpus=share_of_gpus(visible_gpus(), process, self.plan.processes, self.plan.resources.gpus),
        )

    def _host(self, process: int) -> StageHost:
        if self.inline:
            return InProcess(self.plan, self._info(process), self._place)
        forked = self._forked.pop(process, None)
        return StageProcess(self.plan, self._info(process), self._place, self._log, forked)

    def _cores(self, process: int) -> tuple[int, ...]:
        """Cores for one stage process, where this worker has a cpuset of its own; else nothing is pinned."""
        mine = sorted(os.sched_getaffinity(0))
        if self.inline or self.plan.resources.cpus < 1 or len(mine) > self.plan.cpus:
            return ()
        return share_of_cores(mine, process, self.plan.processes, int(self.plan.resources.cpus))

    def _setup_failed(self, error: SetupFailed) -> None:
        if self._draining.is_set():
            return
        self._failure = f"setup failed: {error}"
        report = {"worker": self.worker, "kind": "setup", "message": str(error), "traceback": error.traceback}
        self._log(f"{error.traceback}\nsetup of stage {self.plan.stage!r} failed: {error}")
        with suppress(OSError):
            self._filesystem.replace(os.path.join(self.submission, "failure.json"), json.dumps(report).encode())

    # -- one shard ----------------------------------------------------------------------------------

    def _work(self, host: StageHost, pick: Pick) -> None:
        claim, line = pick.claim, pick.line
        directory = begin_attempt(self._filesystem, self._folder, line.id, claim.attempt, claim.nonce)
        started = time.monotonic()
        verdict = judge(claim.history, self.plan.attempts)
        job = self._job(line, directory, isolate=verdict.isolate, poison=verdict.poison)
        try:
            done = self._give_up(job, verdict.exhausted) if verdict.exhausted else host.run(job)
            won = self._commit(pick, directory, done)
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
            self._pace.learn(line.weight, time.monotonic() - started)
            self._log(f"shard {line.id} attempt {claim.attempt}: {_describe(done, won)}")

    def _job(self, line: ShardLine, directory: str, *, isolate: bool, poison: dict[str, str]) -> ShardJob:
        return ShardJob(
            shard=line.id,
            directory=directory,
            ref=os.path.relpath(self._folder.shard(line.id), self._store.stages),
            root=self._store.stages,
            inputs=[
                (os.path.join(self._store.stage(i.stage).shard(i.shard), "tasks.jsonl"), i.lo, i.hi)
                for i in line.inputs
            ],
            batch_size=self.plan.batch_size,
            whole=self.plan.gather,
            isolate=isolate,
            poison=poison,
        )

    def _give_up(self, job: ShardJob, reason: str) -> ShardDone:
        """Every task of the shard becomes a dead letter: nothing tried so far ever came back."""
        from hpcurate.stage_process.runner import ShardCounts, give_up

        counts: ShardCounts = give_up(job, self.plan.stage, reason)
        return ShardDone(attrs.asdict(counts), {})

    def _commit(self, pick: Pick, directory: str, done: ShardDone) -> bool:
        stats = {
            "shard": pick.line.id,
            "nonce": pick.claim.nonce,
            "attempt": pick.claim.attempt,
            "worker": self.worker,
            "history": list(pick.claim.history),
            "environment": done.environment,
            **done.counts,
        }
        return commit(self._filesystem, self._folder, directory, pick.line.id, stats, self._store.trash)

    def _abandon(self, pick: Pick, directory: str, ended: ShardEnded) -> None:
        self._log(f"shard {pick.line.id} attempt {pick.claim.attempt} ended: {ended.ending.value}: {ended.detail}")
        detail = {"detail": ended.detail[:2000], "in_flight": list(ended.in_flight[:100])}
        with suppress(OSError):
            self._filesystem.discard(directory, self._store.trash)
        with suppress(OSError):
            end_attempt(self._filesystem, self._folder, pick.claim, ended.ending, detail)
        if ended.ending is Ending.ERROR:
            self._errors += 1
            if self._errors >= ERRORS_IN_A_ROW:
                self._failure = f"{self._errors} attempts in a row could not be finished, the last: {ended.detail}"

    # -- time ---------------------------------------------------------------------------------------

    def _time_left(self) -> float:
        return self._deadline - time.monotonic()

    def _fits(self, line: ShardLine) -> bool:
        return self._pace.predict(line.weight) * PREDICTION_MARGIN <= self._time_left()


def _deadline(plan: Plan) -> float:
    """Monotonic time at which this worker's wall time ends, as Slurm tells it; never, outside Slurm."""
    end = os.environ.get("SLURM_JOB_END_TIME")
    if end and end.isdigit():
        return time.monotonic() + int(end) - time.time()
    if os.environ.get("SLURM_JOB_ID"):
        from hpcurate.units import minutes

        return time.monotonic() + minutes(plan.resources.time) * 60 - 5
    return float("inf")


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


def _describe(done: ShardDone, won: bool) -> str:
    counts: dict[str, Any] = done.counts
    told = ", ".join(f"{counts[name]} {name}" for name in ("passed", "dropped", "failed") if counts[name])
    return f"{told or 'empty'} in {counts['seconds']:.1f} s" + ("" if won else " (another attempt was committed first)")


def main(argv: list[str]) -> int:
    """`python -m hpcurate.worker <submission> [--offset N]`: one worker of a submission."""
    submission = argv[0]
    offset = int(argv[argv.index("--offset") + 1]) if "--offset" in argv else 0
    index = offset + int(os.environ.get("HPCURATE_WORKER") or os.environ.get("SLURM_ARRAY_TASK_ID") or 0)
    array = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID")
    plan = Plan.load(submission)
    supervisor = Supervisor(plan, submission, index, job=array or f"local{os.getpid()}")
    signal.signal(signal.SIGUSR2, lambda *_: supervisor.drain(at_once=False))
    signal.signal(signal.SIGTERM, lambda *_: supervisor.drain(at_once=True))
    _log_to_file(submission, index)
    return supervisor.run()


def _log_to_file(submission: str, index: int) -> None:
    """Send stdout and stderr of this worker and its children to its log; Slurm's file keeps what came before."""
    from hpcurate.planning.plan import log_path

    path = Path(log_path(submission, index))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    sys.stdout.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
