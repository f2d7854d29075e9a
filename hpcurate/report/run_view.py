"""Reading one run: where it stands, what is committed, what the queue has. The only access of reports to the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.progress import with_work
from hpcurate.report.queue import QueueRows
from hpcurate.runs.commands import spelling_out
from hpcurate.runs.commits_seen import SeenList
from hpcurate.runs.folder import Run
from hpcurate.runs.launcher import JobRow, make_launcher
from hpcurate.runs.looking import RunLooker
from hpcurate.runs.metrics import publish
from hpcurate.runs.next_steps import next_steps
from hpcurate.runs.reconcile import StageView
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import RunReport, write_report
from hpcurate.runs.work_seen import WorkSeen
from hpcurate.store.lists import ShardLine
from hpcurate.store.rounds import Jobs
from hpcurate.store.stage_store import StageStore
from hpcurate.store.stats import Committed, ShardStats
from hpcurate.store.trouble import standing_trouble
from hpcurate.system.clock import SystemClock

_GOES_ON = (RunState.RUNNING, RunState.STALLED, RunState.INCOMPLETE)
"""A run that has work left, and wants to write."""


class CommittedShard(msgspec.Struct, frozen=True):
    """A committed shard of the live set, and where it is."""

    stage: str
    store: StageStore
    counts: Committed

    @property
    def id(self) -> str:
        """Name of the shard within its stage."""
        return self.counts.shard

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.store.folder.shard(self.id))

    def stats(self) -> ShardStats:
        """Its `stats.json`."""
        return self.store.commits.stats(self.id)


class StoredList(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed of one shard list of the live set."""

    stage: str
    store: StageStore
    is_source: bool
    shards: list[CommittedShard]
    missing: tuple[str, ...]
    """Shards that were committed and are not there any more."""
    damaged: tuple[str, ...]
    """Shards whose `stats.json` cannot be read."""


class RunView:
    """One run. With `repeated` it is looked at again and again, and the queue is asked every `timing.ask_s` at most."""

    def __init__(self, run: Run, *, repeated: bool = False) -> None:
        self.run = run
        frozen = run.frozen()
        every_s, launcher = frozen.pipeline.timing.ask_s if repeated else 0.0, make_launcher(frozen.launcher)
        self._looker = RunLooker(run, launcher, ask_every_s=every_s)
        self._rows = QueueRows(launcher.queue, every_s, SystemClock())
        self.frozen = self._looker.frozen
        self._work = WorkSeen(self._looker.observer, self.frozen.pipeline, SystemClock())
        self._looked = False

    def look(self) -> RunReport:
        """Where the run stands now; also written to `summary.json`, where `hpcurate runs` reads it."""
        with spelling_out(self.frozen.command, self.run.store.root):
            seen = self._looker.look()
            report = self._in_trouble(self._looker.report_of(seen))
        works = self._work.of(seen.views, partial(self._now_ns, report))
        report = with_work(report, {view.name: view.counts for view in seen.views}, works)
        publish(self.run, self.frozen, report)
        return report

    def _now_ns(self, report: RunReport) -> int:
        """Stamp of `summary.json`, as it was written by the look before."""
        if not self._looked:
            write_report(self.run, report)
            self._looked = True
        return self.run.filesystem.stamp(self.run.summary_json)

    def _in_trouble(self, report: RunReport) -> RunReport:
        """The same in the light of how the store is, which a look alone does not show: a full one can be read."""
        trouble = standing_trouble(self.run.store.root) if report.state in _GOES_ON else ""
        if not trouble:
            return report
        state = RunState.RUNNING if report.state is RunState.RUNNING else RunState.STALLED
        following = next_steps(self.run.name, self.run.store.root, self.frozen.command, state, reason=trouble)
        return msgspec.structs.replace(report, state=state, reason=trouble, next=following)

    @property
    def planned(self) -> tuple[PlannedStage, ...]:
        """The stages of the pipeline, in order; with the values of results that the latest look knows."""
        return tuple(map(self._looker.observer.as_it_runs, self.frozen.pipeline.stages))

    @property
    def stages(self) -> tuple[StageView, ...]:
        """Where each stage stands now, in order."""
        return self._looker.observer.look()

    def store(self, stage: PlannedStage) -> StageStore:
        """The stage's part of the store."""
        return self._looker.observer.store(stage.folder)

    def committed(self, stage: PlannedStage) -> list[CommittedShard]:
        """Its committed shards that are part of this run, in order."""
        store = self.store(stage)
        return [CommittedShard(stage.name, store, counts) for counts in self._looker.observer.done(stage)]

    def having(self, stage: PlannedStage, what: Callable[[Committed], object]) -> Iterator[CommittedShard]:
        """Those of them that have something: of ten thousand hardly any has a dead letter."""
        return (CommittedShard(stage.name, self.store(stage), one) for one in self._each(stage) if what(one))

    def having_failed(self, stage: PlannedStage) -> Iterator[CommittedShard]:
        """Those that have dead letters; without looking at each where none has."""
        return self.having(stage, lambda counts: counts.failed) if self.failed(stage) else iter(())

    def failed(self, stage: PlannedStage) -> int:
        """Dead letters in all of them, those that are tried again included."""
        return sum(seen.sums.failed for seen in self.lists(stage))

    def _each(self, stage: PlannedStage) -> Iterator[Committed]:
        return (one for seen in self.lists(stage) for one in seen.done)

    def retried(self, stage: PlannedStage) -> set[tuple[str, int]]:
        """(shard, row) of its dead letters that are tried again: they are none any more, or stand elsewhere."""
        return self._looker.observer.retried(stage)

    def lists(self, stage: PlannedStage) -> list[SeenList]:
        """What is committed of each of its lists; none before what it reads is complete."""
        return self._looker.observer.seen(stage)

    def lines(self, stage: PlannedStage) -> dict[str, ShardLine]:
        """Its shards in the order of its lists, retries last: which rows of which shards above each of them has."""
        return self._looker.observer.lines(stage)

    @property
    def store_of_source(self) -> StageStore:
        """The source's part of the store."""
        return self._looker.observer.store(self.frozen.pipeline.source.folder)

    def list_names(self, stage: PlannedStage) -> list[str]:
        """Names of these lists."""
        return self._looker.observer.list_names(stage)

    def source(self) -> list[CommittedShard]:
        """The input as it was taken in, shard by shard."""
        return [shard for stored in self.stored() if stored.is_source for shard in stored.shards]

    def stored(self) -> Iterator[StoredList]:
        """What is committed of the live set, list by list, that of the source first."""
        for seen in self._looker.observer.seen_of_source():
            yield _stored("input", self.store_of_source, seen, is_source=True)
        for stage in self.planned:
            for seen in self.lists(stage):
                yield _stored(stage.name, self.store(stage), seen, is_source=False)

    def shards(self, stage: str | None = None) -> Iterator[CommittedShard]:
        """Committed shards of all stages, or of the one with this name."""
        for planned in self.planned:
            if stage in (None, planned.name):
                yield from self.having(planned, lambda counts: True)

    def jobs(self) -> tuple[JobRow, ...]:
        """What the queue has of the run's open rounds and gates."""
        return self._rows.of(self._open_jobs())

    def _open_jobs(self) -> Jobs:
        rounds = (found for stage in self.planned for found in self.store(stage).rounds.read())
        started = [found.jobs for found in rounds if found.jobs is not None and not found.over]
        return Jobs(
            ids=(*(job for jobs in started for job in jobs.ids), *self._looker.gates.jobs()),
            workers=tuple(worker for jobs in started for worker in jobs.workers),
        )


def _stored(stage: str, store: StageStore, seen: SeenList, *, is_source: bool) -> StoredList:
    shards = [CommittedShard(stage, store, counts) for counts in seen.done]
    return StoredList(
        stage=stage, store=store, is_source=is_source, shards=shards, missing=seen.missing, damaged=seen.damaged
    )
