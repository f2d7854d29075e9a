"""What happened in a run: each attempt of each shard, and each worker that was there.

`events.jsonl`, the hours of `hpcurate usage` and the timeline of the page are made of these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from hpcurate.failures import AttemptEnd
from hpcurate.planning.pipeline import PlannedStage
from hpcurate.report.run_view import CommittedShard, RunView
from hpcurate.store.claims import Claim
from hpcurate.store.layout import StageFolder
from hpcurate.store.stats import GpuUse
from hpcurate.store.worker_records import WorkerRecord, read_worker_records, record_path

COMMITTED, RUNNING = "committed", "running"
"""What became of an attempt; else the name of an `Ending`."""


@attrs.define(frozen=True, kw_only=True)
class Attempt:
    """One attempt of one shard. Times are Unix seconds by the clock of its node; 0: not known, or never in work."""

    stage: str
    shard: str
    attempt: int
    ending: str
    """`committed`, `running`, or how it ended."""
    worker: str = ""
    node: str = ""
    begun: float = 0.0
    ended: float = 0.0
    """0 while it runs, and of one that was killed with its worker."""
    cpu_seconds: float = 0.0
    """Of cores."""
    peak_memory_mb: float = 0.0
    gpu: GpuUse | None = None
    tasks_in: int = 0
    tasks_out: int = 0
    detail: str = ""
    """Why it ended."""

    @property
    def seconds(self) -> float:
        """How long it was in work."""
        return max(0.0, self.ended - self.begun) if self.begun and self.ended else 0.0

    def plain(self) -> dict[str, Any]:
        """A line of `events.jsonl`."""
        return {**attrs.asdict(self), "seconds": round(self.seconds, 3)}


@attrs.define(frozen=True)
class WorkerSpan:
    """One worker, and until when it was there."""

    record: WorkerRecord
    ended: float
    """For one that is there still, the last that was heard of it."""
    fate: Literal["left", "killed", "there"]

    @property
    def seconds(self) -> float:
        """How long it was there."""
        return max(0.0, self.ended - self.record.begun)


# -- workers ----------------------------------------------------------------------------------------


def worker_spans(view: RunView, stage: str | None = None) -> list[WorkerSpan]:
    """The workers of this run, or of one stage of it: in order of stages and rounds."""
    found = []
    for planned in view.planned:
        if stage in (None, planned.name):
            over, folder = view.store(planned).rounds.over(), view.store(planned).folder
            for submission in _submissions(view, planned.name):
                for record in read_worker_records(view.run.filesystem, submission):
                    heard = 0.0 if record.ended else _heard_for_s(view, record_path(submission, record.worker), folder)
                    found.append(span_of(record, heard, over=record.round in over))
    return found


def _submissions(view: RunView, stage: str) -> list[str]:
    path = os.path.join(view.run.path, "submissions")
    names = sorted(view.run.filesystem.names(path))
    return [os.path.join(path, name) for name in names if name.rpartition("-")[0] == stage]


def span_of(record: WorkerRecord, heard_for_s: float, *, over: bool) -> WorkerSpan:
    """Until when a worker was there: as it wrote itself, else as long as it was heard of. `over`: no longer. Pure."""
    if record.ended is not None:
        return WorkerSpan(record, record.ended, "left")
    return WorkerSpan(record, record.begun + max(0.0, heard_for_s), "killed" if over else "there")


def _heard_for_s(view: RunView, record: str, folder: StageFolder) -> float:
    """Between its record and its last heartbeat, by one clock: that of the storage."""
    worker = os.path.basename(record).removesuffix(".json")
    begun, last = view.run.filesystem.stamp(record), view.run.filesystem.stamp(folder.worker(worker))
    return (last - begun) / 1e9 if begun > 0 else 0.0


# -- attempts ---------------------------------------------------------------------------------------


def attempts(view: RunView, stage: str | None = None) -> Iterator[Attempt]:
    """Every attempt at the shards of this run, also those that another run made, in order of stages."""
    for planned in view.planned:
        if stage in (None, planned.name):
            nodes = {span.record.worker: span.record.node for span in worker_spans(view, planned.name)}
            done = view.committed(planned)
            for shard in done:
                yield from _attempts_of_committed(shard, nodes)
            yield from _attempts_of_open(view, planned, {shard.id for shard in done}, nodes)


def _attempts_of_committed(shard: CommittedShard, nodes: Mapping[str, str]) -> Iterator[Attempt]:
    """One that came through at once is not read: the index has all of it."""
    counts = shard.counts
    if (counts.attempt or 1) > 1:
        yield from (_ended(shard.stage, shard.id, end) for end in shard.stats().history)
    yield Attempt(
        stage=shard.stage,
        shard=shard.id,
        attempt=counts.attempt or 1,
        ending=COMMITTED,
        worker=counts.worker or "",
        node=nodes.get(counts.worker or "", ""),
        begun=counts.begun or 0.0,
        ended=counts.ended or 0.0,
        cpu_seconds=counts.cpu_seconds,
        peak_memory_mb=counts.peak_memory_mb,
        gpu=counts.gpu,
        tasks_in=counts.tasks_in,
        tasks_out=counts.tasks_out,
    )


def _attempts_of_open(view: RunView, stage: PlannedStage, done: set[str], mine: Mapping[str, str]) -> Iterator[Attempt]:
    """At shards that are not committed, by workers of this run."""
    store = view.store(stage)
    for fan in sorted(store.filesystem.names(os.path.join(store.folder.path, "claims"))):
        for shard, latest in sorted(store.claims.latest(fan).items()):
            claim = None if shard in done else store.claims.read(shard, latest.attempt)
            if claim is None or claim.worker not in mine:
                continue
            yield from (_ended(stage.name, shard, end) for end in claim.history)
            yield (
                _running(stage.name, claim)
                if latest.ending is None
                else _ended(stage.name, shard, store.claims.ending(shard, latest))
            )


def _running(stage: str, claim: Claim) -> Attempt:
    return Attempt(
        stage=stage,
        shard=claim.shard,
        attempt=claim.attempt,
        ending=RUNNING,
        worker=claim.worker,
        node=claim.node,
        begun=claim.at,
    )


def _ended(stage: str, shard: str, end: AttemptEnd) -> Attempt:
    return Attempt(
        stage=stage,
        shard=shard,
        attempt=end.attempt,
        ending=end.ending.value,
        worker=end.worker,
        node=end.node,
        begun=end.begun,
        ended=end.ended,
        peak_memory_mb=end.peak_mb,
        detail=end.detail,
    )
