"""Where a stage is run: in the worker's own process, in one that is forked from it, in one started elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import attrs

from hpcurate.failures import Blame, Ending
from hpcurate.planning.plan import Plan
from hpcurate.stage import WorkerInfo
from hpcurate.stage_process.messages import Done, Hello, Ready, ShardJob
from hpcurate.store.heartbeat import AtWork
from hpcurate.store.stats import ShardCounts
from hpcurate.system.processes import descendants, resident_mb
from hpcurate.worker.node_staging import NodeStaging, Place

Log = Callable[[str], None]


@attrs.define(frozen=True)
class ShardEnded(Exception):
    """The shard was not finished: why, and what was in flight."""

    ending: Ending
    detail: str
    in_flight: tuple[str, ...] = ()
    shared: bool = False
    """The stage process had another shard, too, and may have died of that."""
    ahead: ShardEnded | None = None
    """How the attempt of the shard ahead ended with it; None if it did not."""
    peak_mb: int = 0
    """MiB that were seen in use, where memory ran out; 0: not known."""
    seconds: float = 0.0
    """What a batch was given, or how long the shard was in work, where that was not enough."""


class SetupFailed(Exception):
    """The stage could not be set up; `traceback` is where."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.traceback = trace


class Ahead(Protocol):
    """The shard that follows the one that is run: at most one."""

    def claim(self) -> ShardJob | None:
        """Claim it: its job, if the stage process is to prepare it."""

    def begin(self) -> bool:
        """Whether it is begun now: it may have been handed back since it was claimed."""


class StageHost(Protocol):
    """Something that runs shards through a set-up stage."""

    def start(self) -> Ready:
        """Set the stage up. Raises SetupFailed."""

    def run(self, job: ShardJob, ahead: Ahead | None = None) -> Done:
        """Run one shard. Raises ShardEnded.

        A host that looks ahead has the next one prepared meanwhile, and begun before it returns: then that is run next.
        """

    def at_work(self) -> AtWork | None:
        """The shard in work, or the last one, and how far it is; None: nothing is, or that is not known. Any thread."""

    def kill(self) -> None:
        """End it at once, from any thread."""

    def close(self) -> None:
        """End it in order."""


class Hosts(Protocol):
    """Makes the hosts of one worker."""

    threads: bool
    """Whether several may work at once."""
    tell: bool = True
    """Whether they say what they have in work, for the heartbeat."""

    def prepare(self, plan: Plan, infos: list[WorkerInfo]) -> None:
        """Before the worker has threads, or anything was copied to its node."""

    def staging(self, plan: Plan, submission: str, log: Log) -> NodeStaging:
        """How what the plan names gets to this node."""

    def host(self, plan: Plan, info: WorkerInfo, place: Place, log: Log) -> StageHost:
        """One more; nothing is started yet."""

    def close(self) -> None:
        """Let go of what was prepared and never used."""

    def used_mb(self) -> int:
        """MiB that the worker and all below it have in use."""
        return resident_mb([os.getpid(), *descendants(os.getpid())])

    def give_up(self, job: ShardJob, stage: str, reason: Blame) -> ShardCounts:
        """Every task of the shard becomes a dead letter: no attempt so far came back. The stage is not asked."""
        from hpcurate.stage_process.output import give_up

        return give_up(job, stage, reason)


def hello_of(plan: Plan, info: WorkerInfo, place: Place, variables: dict[str, str], *, check: bool = False) -> Hello:
    """The first message to a stage process. `variables` are what it may not have inherited. Pure."""
    return Hello(
        stage=plan.stage.name,
        spec=plan.stage.spec,
        takes=plan.stage.takes,
        prepare=plan.stage.prepare,
        worker=info,
        weights=place.weights,
        remote_code=tuple(name for one in plan.stage.weights if one.remote_code for name in one.names),
        node_setup=plan.stage.node_setup,
        node_folder=place.folder,
        variables=variables,
        check=check,
    )
