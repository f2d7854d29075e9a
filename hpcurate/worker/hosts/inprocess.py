"""The stage in the supervisor's own process: breakpoints work, crashes are yours. Launcher `inline`."""

from __future__ import annotations

import msgspec

from hpcurate.errors import ProgramKilled, SetupLost, StoreFailed
from hpcurate.failures import Ending
from hpcurate.masks import mask
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.messages import Done, InWork, Ready, ShardJob
from hpcurate.stage_process.raised import RAISED, described, out_of_memory, trace_of
from hpcurate.stage_process.runner import Runner
from hpcurate.store.heartbeat import AtWork
from hpcurate.system.memory import used_mb
from hpcurate.worker.hosts import Ahead, Hosts, Log, SetupFailed, ShardEnded, hello_of
from hpcurate.worker.hosts.standing import Standing
from hpcurate.worker.node_staging import NodeStaging, Place


class InProcess:
    """See `StageHost`."""

    def __init__(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> None:
        # processes would import the user's own script once more
        self._hello, self._log = msgspec.structs.replace(hello_of(plan, info, place, {}), prepare="threads"), log
        self._runner: Runner | None = None
        self._standing: Standing | None = None

    def start(self) -> Ready:
        """See `StageHost`."""
        from hpcurate.stage_process.main import build_runner, environment

        try:
            self._runner, made = build_runner(self._hello)
        except RAISED as error:
            raise SetupFailed(mask(f"{type(error).__name__}: {error}"), trace_of(error)) from error
        return Ready(environment=environment(self._hello.worker.device), made=made)

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """See `StageHost`. Nothing is claimed ahead: here one thread does everything."""
        from hpcurate.stage_process.main import environment

        assert self._runner is not None, "start() comes first"
        in_work: list[InWork] = []
        standing = self._standing = Standing(job)

        def hear(message: InWork) -> None:
            in_work[:] = [message]
            standing.hear(message)

        counts = None
        try:
            counts = self._runner.run(job, hear)
        except StoreFailed as error:
            raise ShardEnded(Ending.STORE, str(error)) from error
        except SetupLost as error:
            raise SetupFailed(mask(str(error)), trace_of(error)) from error
        except ProgramKilled as error:
            raise ShardEnded(Ending.CRASH, mask(str(error)), in_work[0].tasks if in_work else ()) from error
        except RAISED as error:
            kind, message, _ = described(error)
            if not out_of_memory(error):
                raise ShardEnded(Ending.ERROR, mask(f"{kind}: {message}")) from error
            why, flying = mask(f"not enough main memory: {kind}: {message}"), in_work[0].tasks if in_work else ()
            raise ShardEnded(Ending.OOM, why, flying, peak_mb=used_mb()) from error
        finally:
            standing.end(done=counts is not None)
        return Done(counts=counts, environment=environment(self._hello.worker.device))

    def at_work(self) -> AtWork | None:
        """See `StageHost`."""
        return self._standing.read() if self._standing else None

    def kill(self) -> None:
        """Nothing to kill: a signal reaches the stage's code itself."""

    def close(self) -> None:
        """See `StageHost`. A failing teardown is told and no more, as in a stage process: the shards are committed."""
        if self._runner:
            try:
                self._runner.close()
            except RAISED as error:
                self._log(f"{trace_of(error)}teardown of stage {self._hello.stage!r} failed; its results stand")


class InProcessHosts(Hosts):
    """See `Hosts`: one at a time, weights and environments stay where they are."""

    threads = False

    def prepare(self, plan: Plan, infos: list[WorkerInfo]) -> None:
        """See `Hosts`."""

    def staging(self, plan: Plan, submission: str, log: Log) -> NodeStaging:
        """See `Hosts`."""
        return NodeStaging.in_place(plan, submission, "one process in the driver's own", log)

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> InProcess:
        """See `Hosts`."""
        return InProcess(plan, info, place, log)

    def close(self) -> None:
        """See `Hosts`."""
