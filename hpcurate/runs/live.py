"""What the store and the queue say about a run, as the frozen values that `reconcile` decides on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from hpcurate.errors import StoreError
from hpcurate.planning.pipeline import Pipeline, PlannedStage
from hpcurate.runs.reconcile import Phase, RoundView, StageView
from hpcurate.runs.summary import StageCounts
from hpcurate.store.commits import committed_names, read_committed, read_done
from hpcurate.store.filesystem import Filesystem
from hpcurate.store.layout import StageFolder, Store, shard_id
from hpcurate.store.lists import Committed, ShardLine, Slicing, gather_name, read_list, slice_shards, write_list
from hpcurate.store.rounds import Round, mark_over, read_rounds, record_job

SUBMITTING_S = 60.0
"""How long a ticket whose owner cannot be seen may stay without its job before it counts as lost."""


class Queue(Protocol):
    """The scheduler as a hint (I8)."""

    kind: str

    def alive(self, jobs: Sequence[str]) -> bool | None:
        """Whether any of the jobs is queued or runs; None if the scheduler does not say."""

    def find(self, name: str) -> tuple[str, ...] | None:
        """Jobs of that name, queued or past; None if the scheduler does not say."""


@attrs.define(frozen=True)
class LiveList:
    """One shard list of the live set."""

    name: str
    lines: tuple[ShardLine, ...]


Parts = list[tuple[str, list[Committed]]]
"""Upstream folder and committed shards that go into one list."""


class Observer:
    """Looks at one run. Keeps what cannot change, so that looking again is cheap."""

    def __init__(
        self,
        filesystem: Filesystem,
        store: Store,
        pipeline: Pipeline,
        source_lists: Sequence[str],
        queue: Queue,
        *,
        forgiven: dict[str, int] | None = None,
        watched: Callable[[str, int], bool] = lambda stage, number: False,
    ) -> None:
        self._filesystem, self._store, self._pipeline = filesystem, store, pipeline
        self._source_lists, self._queue = tuple(source_lists), queue
        self._forgiven, self._watched = forgiven or {}, watched
        self._lines: dict[tuple[str, str], tuple[ShardLine, ...]] = {}
        self._committed: dict[tuple[str, str], Committed] = {}
        self._complete_lists: dict[tuple[str, str], list[Committed]] = {}
        self._first_seen: dict[tuple[str, int], float] = {}

    # -- the whole run ------------------------------------------------------------------------------

    def look(self) -> list[StageView]:
        """Every stage, in topological order."""
        return [self._view(stage) for stage in self._pipeline.stages]

    def folder(self, stage: PlannedStage) -> StageFolder:
        """The stage's folder."""
        return self._store.stage(stage.folder)

    def _view(self, stage: PlannedStage) -> StageView:
        upstream = self._upstream(stage)
        if upstream is None:
            return StageView(name=stage.name, ready=False)
        lists = [self.read(stage, name) for name in self._expected(stage, upstream)]
        rounds = tuple(self._rounds(stage))
        forgiven = self._forgiven.get(stage.name, 0)
        if any(found is None for found in lists):
            return StageView(name=stage.name, ready=True, listed=False, rounds=rounds, forgiven=forgiven)
        present = [found for found in lists if found is not None]
        done = [c for found in present for c in self._done(stage, found)]
        counts = StageCounts.of(sum(len(found.lines) for found in present), done)
        _check_sums(stage.name, counts, sum(line.count for found in present for line in found.lines))
        return StageView(name=stage.name, ready=True, listed=True, counts=counts, rounds=rounds, forgiven=forgiven)

    # -- lists --------------------------------------------------------------------------------------

    def done(self, stage: PlannedStage) -> list[Committed]:
        """Committed shards of the stage in the live set; none while the stage is not listed."""
        upstream = self._upstream(stage)
        if upstream is None:
            return []
        found = [self.read(stage, name) for name in self._expected(stage, upstream)]
        return [shard for one in found if one is not None for shard in self._done(stage, one)]

    def live_lists(self, stage: PlannedStage) -> tuple[str, ...]:
        """Names of the stage's lists in the live set; it must be ready."""
        upstream = self._upstream(stage)
        assert upstream is not None, f"{stage.name} is not ready"
        return self._expected(stage, upstream)

    def make_lists(self, stage: PlannedStage) -> None:
        """Write the lists that are missing: everything upstream is complete."""
        upstream = self._upstream(stage)
        assert upstream is not None, f"{stage.name} is not ready"
        folder = self.folder(stage)
        for name, parts in self._grouped(stage, upstream).items():
            if self.read(stage, name) is None:
                lines: list[ShardLine] = []
                for origin, shards in parts:
                    lines += self._slice(name, origin, shards, stage.slicing, len(lines))
                if stage.slicing.gather:
                    lines = _joined(name, lines)
                write_list(self._filesystem, folder, name, lines)

    def _slice(
        self, name: str, origin: str, shards: Sequence[Committed], slicing: Slicing, start: int
    ) -> list[ShardLine]:
        weights = _WeightsFromRows(self._filesystem, self._store.stage(origin))
        return slice_shards(name, origin, shards, slicing, weights, start)

    def read(self, stage: PlannedStage, name: str) -> LiveList | None:
        """A list of the stage, or None before it is made."""
        return self._read(stage.folder, name)

    def _read(self, folder: str, name: str) -> LiveList | None:
        key = (folder, name)
        if key not in self._lines:
            lines = read_list(self._filesystem, self._store.stage(folder), name)
            if lines is None:
                return None
            self._lines[key] = tuple(lines)
        return LiveList(name, self._lines[key])

    def _upstream(self, stage: PlannedStage) -> dict[tuple[str, str], list[Committed]] | None:
        """Complete lists the stage reads: (folder, list) → committed shards. None while one is incomplete."""
        found: dict[tuple[str, str], list[Committed]] = {}
        for folder, names in self._sources(stage):
            if names is None:
                return None
            for name in names:
                shards = self._complete(folder, name)
                if shards is None:
                    return None
                found[folder, name] = shards
        return found

    def _sources(self, stage: PlannedStage) -> list[tuple[str, tuple[str, ...] | None]]:
        if not stage.after:
            return [(self._pipeline.source.folder, self._source_lists)]
        result: list[tuple[str, tuple[str, ...] | None]] = []
        for name in stage.after:
            above = self._pipeline.stage(name)
            upstream = self._upstream(above)
            result.append((above.folder, None if upstream is None else self._expected(above, upstream)))
        return result

    def _complete(self, folder_name: str, name: str) -> list[Committed] | None:
        """Committed shards of a list, in order, or None while any is missing."""
        key = (folder_name, name)
        if key not in self._complete_lists:
            lines = self._read(folder_name, name)
            if lines is None:
                return None
            done = read_done(self._filesystem, self._store.stage(folder_name), name, lines.lines)
            if done is None:
                return None
            self._complete_lists[key] = done
        return self._complete_lists[key]

    def _expected(self, stage: PlannedStage, upstream: dict[tuple[str, str], list[Committed]]) -> tuple[str, ...]:
        return tuple(self._grouped(stage, upstream))

    def _grouped(self, stage: PlannedStage, upstream: dict[tuple[str, str], list[Committed]]) -> dict[str, Parts]:
        """List name → what goes into it. A list derives from one upstream list and carries its name."""
        if stage.slicing.gather:
            everything = [shard for shards in upstream.values() for shard in shards]
            return {gather_name(everything): [(folder, shards) for (folder, _), shards in upstream.items()]}
        several = len(stage.after) > 1
        return {
            f"{name}@{folder}" if several else name: [(folder, shards)] for (folder, name), shards in upstream.items()
        }

    # -- commits ------------------------------------------------------------------------------------

    def _done(self, stage: PlannedStage, found: LiveList) -> list[Committed]:
        index = self._complete(stage.folder, found.name)
        if index is not None:
            return index
        folder = self.folder(stage)
        for shard in committed_names(self._filesystem, folder, found.lines):
            if (stage.folder, shard) not in self._committed:
                self._committed[stage.folder, shard] = read_committed(self._filesystem, folder, shard)
        keys = [(stage.folder, line.id) for line in found.lines]
        return [self._committed[key] for key in keys if key in self._committed]

    # -- rounds -------------------------------------------------------------------------------------

    def _rounds(self, stage: PlannedStage) -> list[RoundView]:
        rounds = read_rounds(self._filesystem, self.folder(stage))
        return [self._round(stage, r, last=r is rounds[-1]) for r in rounds]

    def _round(self, stage: PlannedStage, found: Round, *, last: bool) -> RoundView:
        phase, jobs = self._phase(stage, found) if last else (Phase.OVER, found.jobs or ())
        return RoundView(
            number=found.number,
            phase=phase,
            done_before=found.done_before,
            jobs=jobs,
            launcher=found.launcher,
            run=found.run,
            cancelled=found.cancelled,
            watched=phase is Phase.ACTIVE and self._watched(stage.name, found.number),
        )

    def _phase(self, stage: PlannedStage, found: Round) -> tuple[Phase, tuple[str, ...]]:
        if found.over:
            return Phase.OVER, found.jobs or ()
        jobs = found.jobs
        if jobs is None:
            jobs = self._lost_answer(stage, found)
            if jobs is None:
                return Phase.SUBMITTING, ()
        alive = self._alive(found, jobs)
        if alive is False:
            mark_over(self._filesystem, self.folder(stage), found.number)
        return {True: Phase.ACTIVE, False: Phase.OVER, None: Phase.UNKNOWN}[alive], jobs

    def _alive(self, found: Round, jobs: tuple[str, ...]) -> bool | None:
        if not jobs:
            return False
        if found.launcher == "slurm":
            return self._queue.alive(jobs)
        return found.submitter.alive() if found.submitter else None

    def _lost_answer(self, stage: PlannedStage, found: Round) -> tuple[str, ...] | None:
        """Jobs of a ticket without a `.job`: None while its owner may still write one, () if there are none.

        sbatch may have been answered after its caller died: the queue is searched by the unique name.
        """
        owner = found.submitter.alive() if found.submitter else None
        if owner is True or (owner is None and not self._waited_enough(stage, found.number)):
            return None
        jobs = self._queue.find(found.name) if found.launcher == "slurm" else ()
        if jobs is not None:
            record_job(self._filesystem, self.folder(stage), found.number, jobs)
        return jobs

    def _waited_enough(self, stage: PlannedStage, number: int) -> bool:
        now = time.monotonic()
        return now - self._first_seen.setdefault((stage.folder, number), now) >= SUBMITTING_S


def _check_sums(stage: str, counts: StageCounts, given: int) -> None:
    """Every task that a complete stage was given ended in exactly one of passed, dropped, failed (I6)."""
    ended = counts.passed + counts.dropped + counts.failed
    if counts.shards_done == counts.shards and not given == counts.tasks_in == ended:
        raise StoreError(
            f"{stage}: was given {given} tasks, read {counts.tasks_in}, and {ended} of them ended; "
            "its folder under stages/ was changed by hand, or a file of it was lost"
        )


class _WeightsFromRows:
    """Weights of a shard's rows, read from its manifest."""

    def __init__(self, filesystem: Filesystem, folder: StageFolder) -> None:
        self._filesystem, self._folder = filesystem, folder

    def __call__(self, shard: Committed) -> Sequence[float]:
        import json

        rows = self._filesystem.read(os.path.join(self._folder.shard(shard.shard), "tasks.jsonl"))
        return [float(json.loads(row)["weight"]) for row in rows.splitlines()]


def _joined(name: str, lines: list[ShardLine]) -> list[ShardLine]:
    """All lines of a gather as one; one also where there are no tasks, so that its stage sees that."""
    inputs = tuple(i for line in lines for i in line.inputs)
    return [ShardLine(shard_id(name, 0), sum(line.weight for line in lines), sum(line.count for line in lines), inputs)]
